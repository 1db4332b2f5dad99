// SPDX-License-Identifier: Apache-2.0
// A bulkhead, a rate limiter and an adaptive limit are charged to their account, and so is what stands in their line.
#include <gtest/gtest.h>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <type_traits>
#include <vector>

#include "support/run_coroutine.hpp"
#include "velostream/adaptive_limit.hpp"
#include "velostream/bulkhead.hpp"
#include "velostream/core/accounted_memory.hpp"
#include "velostream/rate_limiter.hpp"
#include "velostream/testing/manual_time.hpp"
#include "velostream/testing/recording_observer.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream::limiter_accounts_test {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;

constexpr std::size_t calls = 1000;
constexpr Bytes held = 4096;
constexpr Bytes most_for_a_place = 1024;

// Each lets one call go on, and then none until `let_go_on`.
struct OneAtATime {
    using Limiter = Bulkhead<ManualTime>;
    static auto make(std::shared_ptr<Observer> observer, ManualTime time, MemoryAccount account) {
        const BulkheadConfig config{.max_concurrent = 1, .max_waiting = calls};
        return std::make_unique<Limiter>("archive", config, observer, time, account);
    }
    static void let_go_on(auto& used, ManualTime) { used->give_back(); }
};
struct OneInAWhile {
    using Limiter = RateLimiter<ManualTime>;
    static auto make(std::shared_ptr<Observer> observer, ManualTime time, MemoryAccount account) {
        const RateLimiterConfig config{.permits = 1, .period = 10s, .max_waiting = calls};
        return std::make_unique<Limiter>("archive", config, observer, time, account);
    }
    static void let_go_on(auto&, ManualTime time) { time.advance(10s); }
};
struct AsManyAsAreServed {
    using Limiter = AdaptiveLimit<ManualTime>;
    static auto make(std::shared_ptr<Observer> observer, ManualTime time, MemoryAccount account) {
        const AdaptiveLimitConfig config{.initial_limit = 1, .max_waiting = calls};
        return std::make_unique<Limiter>("archive", config, observer, time, is_overload, account);
    }
    static void let_go_on(auto& used, ManualTime) { used->ignore(); }
};

template <class Kind>
class LimiterAccountsTest : public ::testing::Test {
  protected:
    auto call(TimePoint deadline = TimePoint::max()) {
        operation.returns(1);
        return testing::start(*io, limiter->execute(operation, {.deadline = deadline, .held_bytes = held}));
    }
    void poll() {
        io->restart();
        io->poll();
    }
    void expect_charged(std::size_t waiting) const {
        EXPECT_GE(account.used(), empty + waiting * held);
        EXPECT_LE(account.used(), empty + waiting * (held + most_for_a_place));
    }

    MemoryAccount account{"traffic", 100 * 1024 * 1024};
    ManualTime time;
    std::shared_ptr<testing::RecordingObserver> observer = std::make_shared<testing::RecordingObserver>();
    testing::ScriptedOperation<int> operation{time};
    std::unique_ptr<typename Kind::Limiter> limiter = Kind::make(observer, time, account);
    const Bytes empty = account.used();
    std::optional<asio::io_context> io{std::in_place};
};
using Kinds = ::testing::Types<OneAtATime, OneInAWhile, AsManyAsAreServed>;
TYPED_TEST_SUITE(LimiterAccountsTest, Kinds);

TYPED_TEST(LimiterAccountsTest, AThousandCallsInTheLineShowUntilTheyAreCancelled) {
    const auto used = this->limiter->try_acquire();
    std::vector<testing::Started<Result<int>>> waiting;
    for (std::size_t i = 0; i < calls; ++i) waiting.push_back(this->call());
    this->expect_charged(calls);

    for (const auto& call : waiting) call.cancel(asio::cancellation_type::total);
    this->poll();

    EXPECT_EQ(this->account.used(), this->empty);
    for (const auto& call : waiting) EXPECT_EQ(call.value().error(), Errc::cancelled);
}

TYPED_TEST(LimiterAccountsTest, WhoseTurnHasComeIsChargedNoMore) {
    auto used = this->limiter->try_acquire();
    const auto waiting = this->call(), next = this->call();
    this->expect_charged(2);

    TypeParam::let_go_on(used, this->time);
    this->poll();

    EXPECT_TRUE(waiting.value());
    this->expect_charged(next.ended() ? 0 : 1);
}

TYPED_TEST(LimiterAccountsTest, WhoGoesOnAtOnceIsChargedNothing) {
    const auto all = this->account.try_reserve(this->account.available());

    const auto call = this->call();

    EXPECT_TRUE(call.value());
    EXPECT_EQ(this->account.refusals(), 0u);
}

TYPED_TEST(LimiterAccountsTest, WhoWouldHaveToWaitIsRefusedWhereTheAccountHasNoRoom) {
    const auto used = this->limiter->try_acquire();
    const auto most = this->account.try_reserve(this->account.available() - held);

    const auto refused = this->call();

    EXPECT_EQ(refused.value().error(), Errc::memory_limit_exceeded);
    EXPECT_EQ(refused.value().error(), ErrorType::resource_exhausted);
    EXPECT_EQ(this->operation.calls(), 0u);
    EXPECT_EQ(this->limiter->get_stats().refused, 1u);
    EXPECT_EQ(this->limiter->get_stats().waiting, 0u);
    ASSERT_EQ(this->observer->refusals().size(), 1u);
    EXPECT_EQ(this->observer->refusals()[0].why, "no memory");
    EXPECT_EQ(this->account.used(), this->empty + most->bytes());
}

TYPED_TEST(LimiterAccountsTest, AContextThatEndsGivesAllBack) {
    const auto used = this->limiter->try_acquire();
    const auto first = this->call(), second = this->call();
    this->expect_charged(2);

    this->io.reset();

    EXPECT_EQ(this->account.used(), this->empty);
}

TYPED_TEST(LimiterAccountsTest, TheEndOfTheLimiterGivesAllBack) {
    {
        const auto used = this->limiter->try_acquire();
        const auto ignore = [](auto&&) {};
        this->limiter->async_acquire(asio::bind_executor(*this->io, ignore));
        EXPECT_GT(this->account.used(), this->empty);
        EXPECT_LE(this->account.used(), this->empty + most_for_a_place);
        this->limiter->async_acquire(asio::bind_executor(*this->io, ignore));
    }
    this->limiter.reset();
    this->poll();

    EXPECT_EQ(this->account.used(), 0u);
}

TYPED_TEST(LimiterAccountsTest, IsChargedForItself) {
    constexpr Bytes wheel = 7 * 1024; // of deadlines; a rate limiter has none
    const bool has_wheel = !std::is_same_v<TypeParam, OneInAWhile>;

    EXPECT_GE(this->empty, sizeof(typename TypeParam::Limiter) + (has_wheel ? wheel : 100));
    EXPECT_LE(this->empty, has_wheel ? 10 * 1024 : 512);

    this->limiter.reset();
    EXPECT_EQ(this->account.used(), 0u);
}

TYPED_TEST(LimiterAccountsTest, AnAccountWithoutRoomForItRefusesIt) {
    const MemoryAccount full{"full", 200};

    EXPECT_THROW(TypeParam::make(this->observer, this->time, full), MemoryRefusedException);

    EXPECT_EQ(full.used(), 0u);
}

template <class Kind>
using LineAccountsTest = LimiterAccountsTest<Kind>; // a rate limiter says at once who will be too late
using Lines = ::testing::Types<OneAtATime, AsManyAsAreServed>;
TYPED_TEST_SUITE(LineAccountsTest, Lines);

TYPED_TEST(LineAccountsTest, ADeadlineGivesAllBack) {
    const auto used = this->limiter->try_acquire();
    const auto waiting = this->call(this->time.now() + 1s);

    this->time.advance(1s);
    this->poll();

    EXPECT_EQ(waiting.value().error(), Errc::bulkhead_full);
    EXPECT_EQ(this->account.used(), this->empty);
}

} // namespace
} // namespace velostream::limiter_accounts_test
