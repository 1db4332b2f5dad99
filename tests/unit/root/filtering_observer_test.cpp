// SPDX-License-Identifier: Apache-2.0
#include "velostream/filtering_observer.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <mutex>
#include <ostream>
#include <source_location>
#include <sstream>
#include <streambuf>
#include <string>
#include <thread>
#include <vector>

namespace velostream {
namespace {

using namespace std::chrono_literals;

const auto borrowed_at = std::source_location::current();

// Says each event that there is to an observer, and returns the first letters of what came through.
struct CountingObserver : Observer {
    void on_memory_allocated(const MemoryAllocated&) noexcept override { seen += 'a'; }
    void on_memory_released(const MemoryReleased&) noexcept override { seen += 'r'; }
    void on_memory_refused(const MemoryRefused&) noexcept override { seen += 'f'; }
    void on_memory_stalled(const MemoryStalled&) noexcept override { seen += 't'; }
    void on_pressure_changed(const PressureChanged&) noexcept override { seen += 'p'; }
    void on_circuit_state_changed(const CircuitStateChanged&) noexcept override { seen += 'c'; }
    void on_call_rejected(const CallRejected&) noexcept override { seen += 'j'; }
    void on_call_refused(const CallRefused&) noexcept override { seen += 'x'; }
    void on_concurrency_limit_changed(const ConcurrencyLimitChanged&) noexcept override { seen += 'm'; }
    void on_retry_scheduled(const RetryScheduled&) noexcept override { seen += 's'; }
    void on_retry_given_up(const RetryGivenUp&) noexcept override { seen += 'g'; }
    void on_connect_failed(const ConnectFailed&) noexcept override { seen += 'n'; }
    void on_connection_leaked(const ConnectionLeaked&) noexcept override { seen += 'b'; }
    void on_dead_letter_stored(const DeadLetterStored&) noexcept override { seen += 'd'; }
    void on_dead_letter_delayed(const DeadLetterDelayed&) noexcept override { seen += 'l'; }
    void on_dead_letter_spooled(const DeadLetterSpooled&) noexcept override { seen += 'o'; }
    void on_dead_letter_flood(const DeadLetterFlood&) noexcept override { seen += 'w'; }
    void on_dead_letters_stuck(const DeadLettersStuck&) noexcept override { seen += 'k'; }
    void on_dead_letter_topic_differs(const DeadLetterTopicDiffers&) noexcept override { seen += 'i'; }
    std::string seen;
};

void tell_everything(Observer& observer) {
    const Error error{Errc::operation_failed, "first line\nsecond line"};
    observer.on_memory_allocated({.account = "process", .name = "windows", .bytes = 1, .used = 2, .limit = 3});
    observer.on_memory_released({.account = "process", .name = "windows", .bytes = 1, .used = 1});
    observer.on_memory_refused({.account = "process", .name = "windows", .asked = 9, .error = error});
    observer.on_memory_stalled({.account = "windows", .waiting = 3, .used = 900, .limit = 1000, .lasts = 30s});
    observer.on_pressure_changed({PressureLevel::normal, PressureLevel::high, 81.5});
    observer.on_circuit_state_changed({"orders", CircuitState::closed, CircuitState::open, "failures 5 of 5", {}});
    observer.on_call_rejected({.breaker = "orders", .retry_after = 1500ms});
    const Error full{Errc::bulkhead_full, "max_concurrent 2, max_waiting 3"};
    observer.on_call_refused({.limiter = "archive", .why = "no room", .error = full});
    observer.on_concurrency_limit_changed({.limiter = "archive", .from = 20, .to = 18, .why = "latency rose"});
    observer.on_retry_scheduled({.failed_attempts = 1, .delay = 100ms, .error = error});
    observer.on_retry_given_up({.attempts = 4, .why = "max_retries", .error = error});
    observer.on_connect_failed({.pool = "orders-db", .error = error});
    observer.on_connection_leaked({.pool = "orders-db", .lent_for = 60s, .borrowed_at = borrowed_at});
    observer.on_dead_letter_stored({.topic = "failed-records", .error = error});
    observer.on_dead_letter_delayed({.topic = "failed-records", .failed_deliveries = 2, .delivery_error = error});
    observer.on_dead_letter_spooled({.topic = "failed-records", .error = error, .waiting = 7});
    observer.on_dead_letter_flood({.topic = "failed-records", .why = "one cause", .hold = 10s, .error = error});
    observer.on_dead_letters_stuck(
        {.topic = "failed-records", .waiting = 7, .failed_deliveries = 4, .delivery_error = error});
    observer.on_dead_letter_topic_differs(
        {.topic = "failed-records", .setting = "retention.ms", .wanted = "1000", .actual = "2000"});
}

std::string passed_with(const StreamingConfig& config) {
    const auto counting = std::make_shared<CountingObserver>();
    FilteringObserver filter{config, counting};
    tell_everything(filter);
    return counting->seen;
}

TEST(FilteringObserver, PassesWhatEachFlagSelectsAndAlwaysPressureStallsLeaksAndDeadLetters) {
    EXPECT_EQ(passed_with({}), "tpbdlowki");
    EXPECT_EQ(passed_with({.log_resource_allocations = true}), "artpbdlowki");
    EXPECT_EQ(passed_with({.debug_resource_management = true}), "arftpxmnbdlowki");
    EXPECT_EQ(passed_with({.log_circuit_breaker_state_changes = true}), "tpcbdlowki");
    EXPECT_EQ(passed_with({.debug_circuit_breakers = true}), "tpcjbdlowki");
    EXPECT_EQ(passed_with({.log_retry_attempts = true}), "tpsbdlowki");
    EXPECT_EQ(passed_with({.debug_retries = true}), "tpsgbdlowki");
}

TEST(FilteringObserver, PassesNothingToNobody) {
    FilteringObserver filter{{.debug_resource_management = true, .debug_circuit_breakers = true, .debug_retries = true},
                             nullptr};
    tell_everything(filter);
    EXPECT_FALSE(filter.passes_allocations());
}

TEST(StreamObserver, PrintsEachEventAsOneLine) {
    std::ostringstream out;
    StreamObserver observer{out};

    tell_everything(observer);

    EXPECT_EQ(
        out.str(),
        "velostream: memory windows: allocated 1 bytes, process uses 2 of 3\n"
        "velostream: memory windows: released 1 bytes, process uses 1\n"
        "velostream: memory windows: refused 9 bytes: operation failed: first line second line\n"
        "velostream: memory windows: 3 waiting, nothing came back for 30000 ms; used 900 of 1000\n"
        "velostream: memory pressure: normal -> high at 81.5 %\n"
        "velostream: circuit orders: closed -> open (failures 5 of 5)\n"
        "velostream: circuit orders: call rejected, next try in 1500 ms\n"
        "velostream: archive: call refused (no room): bulkhead full: max_concurrent 2, max_waiting 3\n"
        "velostream: archive: 20 -> 18 calls at once (latency rose)\n"
        "velostream: retry: attempt 1 failed, next in 100 ms: operation failed: first line second line\n"
        "velostream: retry: given up after 4 attempts (max_retries): operation failed: first line second line\n"
        "velostream: connections orders-db: connect failed: operation failed: first line second line\n"
        "velostream: connections orders-db: one is not given back for 60000 ms, borrowed at " +
            std::string{borrowed_at.file_name()} + ":" + std::to_string(borrowed_at.line()) +
            "\n"
            "velostream: dead letter: stored in failed-records: operation failed: first line second line\n"
            "velostream: dead letter: delivery 2 to failed-records failed: operation failed: first line second line\n"
            "velostream: dead letter: spooled for failed-records, 7 waiting there: operation failed: first line "
            "second line\n"
            "velostream: dead letters: a flood for failed-records (one cause), held for 10000 ms: operation failed: "
            "first "
            "line second line\n"
            "velostream: dead letters: 7 stuck in the spool for failed-records after 4 failed deliveries: operation "
            "failed: "
            "first line second line\n"
            "velostream: dead letters: topic failed-records has retention.ms 2000, not 1000\n");
}

TEST(StreamObserver, SaysHowLongRetriesTookWhereThatIsKnown) {
    std::ostringstream out;
    StreamObserver observer{out};
    const Error error{Errc::send_timeout};

    observer.on_retry_given_up({.attempts = 4, .why = "exhausted", .error = error, .elapsed = 4700ms});
    observer.on_retry_given_up(
        {.attempts = 4, .why = "exhausted", .error = error, .elapsed = 4700900us, .elapsed_longer = true});
    observer.on_retry_given_up({.attempts = 1, .why = "not retryable", .error = error});

    EXPECT_EQ(out.str(),
              "velostream: retry: given up after 4 attempts in 4700 ms (exhausted): send timed out\n"
              "velostream: retry: given up after 4 attempts in more than 4700 ms (exhausted): send timed out\n"
              "velostream: retry: given up after 1 attempts (not retryable): send timed out\n");
}

TEST(StreamObserver, RoundsAWaitUpSoThatNoTryComesTooEarly) {
    std::ostringstream out;
    StreamObserver observer{out};

    observer.on_call_rejected({.breaker = "orders", .retry_after = 1500us});

    EXPECT_EQ(out.str(), "velostream: circuit orders: call rejected, next try in 2 ms\n");
}

// Takes one character at a time: writers that do not wait for each other mix.
class CharacterBuffer final : public std::streambuf {
  public:
    std::string text() const {
        const std::scoped_lock lock{mutex_};
        return text_;
    }
    int flushes() const noexcept { return flushes_; }

  private:
    int_type overflow(int_type character) override {
        const std::scoped_lock lock{mutex_};
        text_ += traits_type::to_char_type(character);
        return character;
    }
    int sync() override {
        ++flushes_;
        return 0;
    }

    mutable std::mutex mutex_;
    std::string text_;
    std::atomic<int> flushes_{0};
};

TEST(StreamObserver, FlushesEveryLine) {
    CharacterBuffer buffer;
    std::ostream out{&buffer};
    StreamObserver observer{out};

    observer.on_call_rejected({.breaker = "orders"});
    observer.on_call_rejected({.breaker = "orders"});

    EXPECT_EQ(buffer.flushes(), 2);
}

TEST(StreamObserver, LinesOfSeveralThreadsDoNotMix) {
    CharacterBuffer buffer;
    std::ostream out{&buffer};
    StreamObserver observer{out};
    std::vector<std::thread> threads;
    std::latch begin{4};
    for (int number = 0; number < 4; ++number) {
        threads.emplace_back([&] {
            begin.arrive_and_wait();
            for (int count = 0; count < 500; ++count) observer.on_call_rejected({.breaker = "orders"});
        });
    }
    for (auto& thread : threads) thread.join();

    std::istringstream lines{buffer.text()};
    std::size_t count = 0;
    for (std::string line; std::getline(lines, line); ++count)
        EXPECT_EQ(line, "velostream: circuit orders: call rejected");
    EXPECT_EQ(count, 2000u);
}

} // namespace
} // namespace velostream
