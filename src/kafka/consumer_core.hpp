// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <librdkafka/rdkafka.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "assigned_partition.hpp"
#include "consumer_session.hpp"
#include "core_deadline.hpp"
#include "event_signal.hpp"
#include "velostream/async/context_membership.hpp"
#include "velostream/async/deadline_wheel.hpp"
#include "velostream/async/wait_queue.hpp"
#include "velostream/kafka/consumer.hpp"

namespace velostream::kafka::detail {

/// The consumer itself; `Consumer` is the handle that users hold. Everything runs on its executor.
///
/// Records come in chunks from the client's queue, one at a time to the front, and from there to a batch or to the
/// loop. Nothing is taken from the queue that nobody asks for.
class ConsumerCore final : public ContextMember, private EventSignal::Owner {
  public:
    /// What the background tells us when the group has been left; it outlives us.
    struct Departure {
        WaitQueue waiters;
        std::atomic<bool> is_over = false;
    };

    /// Somebody who has to finish something before partitions may go.
    class Keeper {
      public:
        /// Partitions are asked back, or, if `is_lost`, gone already. If this answers false, they are kept until
        /// `let_go`; nobody else gets them as long as the group waits.
        virtual bool lets_go(bool is_lost) = 0;

      protected:
        ~Keeper() = default;
    };

    /// With a keeper, records are committed by it and not through `done`. It must outlive this object's events.
    ConsumerCore(asio::any_io_executor executor, const ConsumerConfig& config, Keeper* keeper = nullptr);
    ~ConsumerCore() override;

    /// Once, when it has an owner.
    void open();

    /// The next record, or null if there is none now.
    const ConsumedRecord* front();
    ConsumedRecord take_front();
    void done(const ConsumedRecord& record);

    /// Partitions are kept that are asked back. While they are, they cannot be assigned anew.
    bool is_keeping() const noexcept { return asked_back_ != nullptr; }
    /// Gives back what is asked back.
    void let_go();
    /// For the keeper, after a seek: what was read before it is gone, and belongs to nobody if it is in progress.
    void forget_what_was_read();
    const std::vector<std::shared_ptr<AssignedPartition>>& partitions() const noexcept { return partitions_; }
    const std::shared_ptr<ConsumerSession>& session() const noexcept { return session_; }
    /// Who we were in the group when it gave us these partitions; null without them.
    const std::shared_ptr<const rd_kafka_consumer_group_metadata_t>& membership() const noexcept {
        return group_membership_;
    }
    bool is_closed() const noexcept { return is_closed_; }

    /// A failure of the client that it cannot mend by itself; told once.
    std::optional<Error> take_failure() { return std::exchange(failure_, std::nullopt); }
    bool is_stopped() const noexcept { return is_stopped_; }
    WaitQueue& batch_waiters() noexcept { return batch_waiters_; }

    /// Gives records to whoever waits for them, later on this executor.
    void serve_later();
    /// The same after a moment: somebody else has the memory that the next record needs.
    void serve_when_memory_may_be_free();
    void on_held() noexcept { ++counts_.held; }
    void on_held_no_more() noexcept { --counts_.held; }
    bool has_held() const noexcept { return counts_.held > 0; }
    bool attach(RecordLoop& loop) noexcept;
    void detach(const RecordLoop& loop) noexcept;

    void stop();
    void pause() noexcept { is_paused_ = true; }
    void resume();
    bool is_paused() const noexcept { return is_paused_; }

    /// For each one that waits for the departure, which is woken when the time of any of them has come.
    std::shared_ptr<Departure> begin_close();
    void wake_departure_at(TimePoint at);
    void end_close() noexcept;

    void shut_down() noexcept;
    /// Its owner ends: the same, and the execution context needs to know of it no longer.
    void retire() noexcept;

    std::vector<PartitionPosition> assignment() const;
    bool end_reached() const;
    ConsumerStats stats() const;
    const asio::any_io_executor& executor() const noexcept { return executor_; }

  private:
    void on_events() override;
    static void listen_to(EventSignal& signal) noexcept;
    void on_tick();
    void serve();
    void give_up_departure();
    struct DestroyEvent {
        void operator()(rd_kafka_event_t* event) const noexcept { rd_kafka_event_destroy(event); }
    };
    using Event = std::unique_ptr<rd_kafka_event_t, DestroyEvent>;

    void handle(Event event);
    void on_rebalance(Event event);
    void on_given(const rd_kafka_topic_partition_list_t& partitions);
    void on_taken(const rd_kafka_topic_partition_list_t& partitions);
    void forget_revoked() noexcept;
    void note_problem(int code, std::string text);

    void accept(rd_kafka_message_t& message);
    void note_first() noexcept;
    AssignedPartition* partition_of(const rd_kafka_message_t& message) noexcept;
    void forget_chunk_of_revoked() noexcept;
    void store_positions();
    void leave_group() noexcept;

    std::shared_ptr<ConsumerCore> self() { return std::static_pointer_cast<ConsumerCore>(shared_from_this()); }
    bool detach() noexcept override;
    void drop() noexcept override;

    const ConsumerConfig config_;
    asio::any_io_executor executor_;
    ContextMembership membership_; // also what keeps this alive until it retires
    DeadlineTimer<> timer_;
    struct RecordsOwner final : EventSignal::Owner {
        explicit RecordsOwner(ConsumerCore& of) noexcept : core(of) {}
        void on_events() override { core.serve(); }
        ConsumerCore& core;
    };
    RecordsOwner records_owner_;
    std::optional<EventSignal> events_signal_;  // gone once closed
    std::optional<EventSignal> records_signal_; // the same; listens while somebody may want records, and none are here
    std::shared_ptr<ConsumerSession> session_;
    std::shared_ptr<Departure> departure_ = std::make_shared<Departure>();
    Keeper* const keeper_;
    Event asked_back_; // a revocation that is not answered yet
    std::shared_ptr<const rd_kafka_consumer_group_metadata_t> group_membership_;

    std::vector<std::shared_ptr<AssignedPartition>> partitions_;
    AssignedPartition* last_partition_ = nullptr; // of the last record: most come in runs
    std::array<rd_kafka_message_t*, 1000> chunk_{};
    std::size_t chunk_next_ = 0;
    std::size_t chunk_end_ = 0;
    std::optional<ConsumedRecord> front_;
    Bytes read_bytes_ = 0; // keys and values of all that was read

    RecordLoop* loop_ = nullptr;
    WaitQueue batch_waiters_;
    std::optional<Error> failure_;
    bool is_paused_ = false;
    bool is_stopped_ = false;
    bool is_closed_ = false;
    bool is_retired_ = false;
    bool is_serve_posted_ = false;
    CoreDeadline<ConsumerCore> tick_;
    CoreDeadline<ConsumerCore> memory_deadline_;
    CoreDeadline<ConsumerCore> departure_deadline_;
    TimePoint departure_wakes_at_{};
    std::size_t closing_ = 0; // who waits for the departure
    ConsumerStats counts_;
};

/// `Consumer::close`.
asio::awaitable<void> close_consumer(std::shared_ptr<ConsumerCore> core, Duration at_most);

} // namespace velostream::kafka::detail
