// SPDX-License-Identifier: Apache-2.0
// What a dead letter costs before it reaches its sink: the stack trace of its caller, the envelope, the queue's own
// work.
#include <benchmark/benchmark.h>

#include <boost/asio/awaitable.hpp>
#include <string_view>

#include "support/allocations.hpp"
#include "support/coroutines.hpp"
#include "support/suite.hpp"
#include "velostream/base/stack_trace.hpp"
#include "velostream/core/dead_letter_envelope.hpp"
#include "velostream/dead_letter_queue.hpp"

namespace velostream::bench {

namespace {

const RecordView record{.topic = "orders",
                        .partition = 3,
                        .offset = 123'456,
                        .key = "17850",
                        .value = "536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,2010-12-01 08:26:00,2.55,,Denmark",
                        .timestamp = WallTime{std::chrono::milliseconds{1'291'191'960'000}},
                        .timestamp_type = TimestampType::create_time};

Error bad_record() {
    return {boost::system::errc::make_error_code(boost::system::errc::invalid_argument), "CustomerID: \"\""};
}

/// Acknowledges at once, so that only the queue is measured.
struct ReadySink {
    asio::awaitable<Result<DeadLetterReceipt>> store(const DeadLetter& letter, CallContext&) {
        benchmark::DoNotOptimize(letter.headers().data());
        co_return DeadLetterReceipt{};
    }
};

// In a coroutine, where the stack is as deep as it is in a program.
asio::awaitable<void> stack_trace(benchmark::State& state) {
    for (auto _ : counted(state)) {
        auto trace = StackTrace::capture();
        benchmark::DoNotOptimize(trace);
    }
    co_return;
}

void envelope(benchmark::State& state) {
    const auto error = bad_record();
    const DeadLetterQueueConfig config;
    const auto trace = StackTrace::capture();
    const DeadLetterContext context{.application = "totals", .group = "billing", .stack_trace = trace.text()};
    for (auto _ : counted(state)) {
        auto letter = make_dead_letter(record, error, config, context);
        benchmark::DoNotOptimize(letter);
    }
}

asio::awaitable<void> send(benchmark::State& state) {
    const auto error = bad_record();
    DeadLetterQueue queue{DeadLetterQueueConfig{}, ReadySink{}, {.application = "totals", .group = "billing"}};
    for (auto _ : counted(state)) {
        auto sent = co_await queue.send_to_dlq(record, error);
        benchmark::DoNotOptimize(sent);
    }
}

} // namespace

void declare(Suite& suite) {
    suite.add("dlq/stack_trace_same_place", in_coroutine(stack_trace));
    suite.add("dlq/envelope", envelope);
    suite.add("dlq/send_to_ready_sink", in_coroutine(send), {.threads = {1}});
}

} // namespace velostream::bench
