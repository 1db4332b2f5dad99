// SPDX-License-Identifier: Apache-2.0
#include "figures/goals.hpp"

namespace velostream::bench {

std::span<const Goal> project_goals() {
    using namespace std::chrono_literals;

    static const std::vector<Goal> goals{
        // Memory: what a reservation costs, and that a second thread does not make it dearer.
        {.name = "memory/reserve_release",
         .threads = 1,
         .floor = "floor/fetch_add_pair",
         .promises = {wall_times(1.3)}},
        {.name = "memory/reserve_release",
         .threads = 2,
         .floor = "memory/reserve_release",
         .floor_threads = 1,
         .promises = {cpu_times(1.15)}},
        {.name = "memory/reserve_near_limit", .floor = "floor/cas_loop_pair", .promises = {wall_times(4)}},
        {.name = "memory/pmr_map_insert", .floor = "floor/pmr_map_plain", .promises = {wall_times(1.10)}},

        // Breaker and pipeline.
        {.name = "breaker/permit_record_closed",
         .threads = 1,
         .floor = "floor/mutex_ring_100",
         .promises = {wall_times(1.2)}},
        {.name = "breaker/permit_record_closed",
         .threads = 2,
         .floor = "floor/mutex_ring_100",
         .promises = {wall_times(0.35)}},
        {.name = "breaker/reject_open", .floor = "floor/atomic_load", .promises = {wall_times(2), no_allocations()}},
        {.name = "pipeline/five_policies",
         .floor = "floor/await_leaf",
         .promises = {wall_times(3.5), no_allocations()}},
        {.name = "pipeline/timeout_of_plain_operation",
         .floor = "floor/co_spawn_with_slot",
         .promises = {wall_times(1.3)}},

        // Retry and pool.
        {.name = "retry/success_first_try",
         .floor = "floor/await_leaf",
         .promises = {wall_times(2.5), no_allocations()}},
        {.name = "pool/borrow_return", .floor = "floor/mutex_pair", .promises = {wall_times(2)}},
        {.name = "pool/hand_over", .promises = {wall_at_most(1us)}},

        // Fifty ask at once, and five connections are idle: these alone need 20 ms.
        {.name = "pool/spike_cold", .promises = {wall_at_most(24ms)}},
        {.name = "pool/spike_warm", .promises = {wall_at_most(24ms)}},
        {.name = "pool/spike_by_a_simulated_clock", .promises = {wall_at_most(24ms)}},

        // Eight connections, 64 borrowers.
        {.name = "pool/fair", .floor = "floor/unfair_pool", .promises = {rate_at_least(0.9)}},
        {.name = "pool/fair_longest_wait", .floor = "pool/fair_median_wait", .promises = {wall_times(5)}},

        // A server goes away, and comes back.
        {.name = "pool/outage_cause_refused", .promises = {wall_at_most(50ms)}},
        {.name = "pool/outage_between_connects_refused", .promises = {wall_at_least(200ms)}},
        {.name = "pool/outage_first_served_refused", .promises = {wall_at_most(300ms)}},
        {.name = "pool/outage_all_served_refused", .promises = {wall_at_most(100ms)}},
        {.name = "pool/outage_cause_hung", .promises = {wall_at_most(50ms)}},
        {.name = "pool/outage_between_connects_hung", .promises = {wall_at_least(200ms)}},
        {.name = "pool/outage_first_served_hung", .promises = {wall_at_most(300ms)}},
        {.name = "pool/outage_all_served_hung", .promises = {wall_at_most(100ms)}},
        {.name = "pool/simulated_outage_cause_refused", .promises = {wall_at_most(50ms)}},
        {.name = "pool/simulated_outage_between_connects_refused", .promises = {wall_at_least(200ms)}},
        {.name = "pool/simulated_outage_first_served_refused", .promises = {wall_at_most(300ms)}},
        {.name = "pool/simulated_outage_all_served_refused", .promises = {wall_at_most(100ms)}},
        {.name = "pool/simulated_outage_cause_hung", .promises = {wall_at_most(50ms)}},
        {.name = "pool/simulated_outage_between_connects_hung", .promises = {wall_at_least(200ms)}},
        {.name = "pool/simulated_outage_first_served_hung", .promises = {wall_at_most(300ms)}},
        {.name = "pool/simulated_outage_all_served_hung", .promises = {wall_at_most(100ms)}},

        // A borrower who gets no connection hears of it at his deadline, however the server fails.
        {.name = "pool/lateness_refused", .promises = {wall_at_most(20ms)}},
        {.name = "pool/lateness_unknown_host", .promises = {wall_at_most(20ms)}},
        {.name = "pool/lateness_hung", .promises = {wall_at_most(20ms)}},
        {.name = "pool/lateness_busy", .promises = {wall_at_most(20ms)}},
        {.name = "pool/lateness_slow", .promises = {wall_at_most(20ms)}},
        {.name = "pool/lateness_black_hole", .promises = {wall_at_most(20ms)}},
        {.name = "pool/lateness_down", .promises = {wall_at_most(20ms)}},

        // Databases: what pool and coroutines add to the client library.
        {.name = "postgres/query_eight", .floor = "floor/libpq_eight", .promises = {rate_at_least(0.95)}},
        {.name = "postgres/query_one", .floor = "floor/libpq_one", .promises = {rate_at_least(0.8)}},
        {.name = "postgres/pipeline", .floor = "floor/libpq_pipeline", .promises = {rate_at_least(0.8)}},
        {.name = "sqlite/query_one", .floor = "floor/sqlite_on_a_thread", .promises = {wall_times(2)}},
        {.name = "sqlite/query_eight", .floor = "floor/sqlite_on_a_thread", .promises = {wall_times(1.25)}},

        // Kafka: what the wrapper adds to a send.
        {.name = "kafka/send_callback",
         .floor = "floor/librdkafka_bare",
         .promises = {cpu_plus(80ns), rate_at_least(0.95)}},
        {.name = "kafka/send_coroutine",
         .floor = "floor/librdkafka_bare",
         .promises = {cpu_plus(150ns), rate_at_least(0.90)}},
        {.name = "kafka/send_guarded",
         .floor = "floor/librdkafka_bare",
         .promises = {cpu_plus(250ns), rate_at_least(0.85)}},

        // A send that cannot be delivered ends at its deadline, however the cluster fails.
        {.name = "kafka/lateness_refused", .promises = {wall_at_most(20ms)}},
        {.name = "kafka/lateness_unknown_host", .promises = {wall_at_most(20ms)}},
        {.name = "kafka/lateness_hung", .promises = {wall_at_most(20ms)}},
        {.name = "kafka/lateness_slow", .promises = {wall_at_most(20ms)}},
        {.name = "kafka/lateness_down", .promises = {wall_at_most(20ms)}},
        {.name = "kafka/lateness_queue_full", .promises = {wall_at_most(20ms)}},
        {.name = "kafka/lateness_wrong_password", .promises = {wall_at_most(20ms)}},
        {.name = "kafka/lateness_tls_failure", .promises = {wall_at_most(20ms)}},
        {.name = "kafka/lateness_unknown_topic", .promises = {wall_at_most(20ms)}},
        {.name = "kafka/lateness_no_acl", .promises = {wall_at_most(20ms)}},

        // Dead letters: all that happens before the sink, the stack trace included.
        {.name = "dlq/send_to_ready_sink", .promises = {wall_at_most(5us)}},
        {.name = "dlq/spool_append", .floor = "floor/write_fdatasync_groups", .promises = {rate_at_least(0.8)}},
        {.name = "dlq/send", .floor = "floor/send_with_the_same_headers", .promises = {wall_times(1.3)}},

        // The main job, end to end.
        {.name = "job/orders_mock", .floor = "floor/bare_loop", .promises = {wall_times(1.10), cpu_times(1.10)}},
        {.name = "job/orders_broker",
         .floor = "floor/bare_loop_broker",
         .promises = {wall_times(1.10), cpu_times(1.10)}},
        {.name = "job/orders_broker_vs_defaults",
         .floor = "floor/bare_loop_defaults",
         .promises = {wall_times(0.55), cpu_times(1.10)}},
    };
    return goals;
}

} // namespace velostream::bench
