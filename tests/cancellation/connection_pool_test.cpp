// SPDX-License-Identifier: Apache-2.0
// Whatever a borrower waits for, and however he ends early, he leaves nothing behind: no place, no memory, no sleeper,
// no connection, no waiter.
#include "velostream/connection_pool.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "support/cancellation_kinds.hpp"
#include "support/run_coroutine.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;

// Connections of which each operation takes as long as the test says.
class SlowConnections {
    struct Script {
        explicit Script(ManualTime clock) : time(std::move(clock)) {}
        ManualTime time;
        Duration open{}, check{}, reset{}, close{};
        int running = 0, alive = 0;
    };
    class Counted {
      public:
        explicit Counted(int& count) : count_(&count) { ++*count_; }
        Counted(Counted&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
        Counted& operator=(Counted&&) = delete;
        ~Counted() {
            if (count_) --*count_;
        }

      private:
        int* count_;
    };

  public:
    using Connection = Counted;

    explicit SlowConnections(const ManualTime& time) : script_(std::make_shared<Script>(time)) {}
    Script* operator->() const { return script_.get(); }

    asio::awaitable<Result<Connection>> open(CallContext&) {
        auto taking = take(script_, script_->open);
        co_await std::move(taking);
        co_return Connection{script_->alive};
    }
    asio::awaitable<Result<void>> check(Connection&, CallContext&) { return succeed(script_, script_->check); }
    asio::awaitable<Result<void>> reset(Connection&, CallContext&) { return succeed(script_, script_->reset); }
    asio::awaitable<void> close(Connection&, CallContext&) { return take(script_, script_->close); }

  private:
    static asio::awaitable<void> take(std::shared_ptr<Script> script, Duration delay) {
        const Counted running{script->running};
        if (delay == Duration{0}) co_return;
        const auto executor = co_await asio::this_coro::executor;
        auto sleeping = async_sleep_until(script->time, executor, script->time.now() + delay, asio::deferred);
        co_await std::move(sleeping);
    }
    static asio::awaitable<Result<void>> succeed(std::shared_ptr<Script> script, Duration delay) {
        auto taking = take(std::move(script), delay);
        co_await std::move(taking);
        co_return Result<void>{};
    }

    std::shared_ptr<Script> script_;
};

using Pool = ConnectionPool<SlowConnections, ManualTime>;
using Call = testing::Started<Result<Pool::Lease>>;

// What a borrower waits for.
enum class Point { turn, hand_over, check, open, reset, goodbye, room, memory };
constexpr Point points[] = {Point::turn,  Point::hand_over, Point::check, Point::open,
                            Point::reset, Point::goodbye,   Point::room,  Point::memory};
// A pool of one connection, in a context of its own, with two places and memory for two connections.
class EndedBorrower {
  public:
    EndedBorrower() {
        pool.emplace(own->get_executor(), config(), factory, ConnectionPoolOptions{.places = places, .memory = memory},
                     time);
    }

    static ConnectionPoolConfig config() {
        return {.max_size = 1,
                .min_idle = 0,
                .connection_timeout = 30s,
                .idle_timeout = std::nullopt,
                .max_lifetime = std::nullopt,
                .connection_memory = 100'000};
    }
    Call borrow(asio::io_context& in) {
        auto call = testing::start(in, pool->get_connection());
        poll();
        return call;
    }
    Call come_to(Point point) {
        if (point == Point::open) factory->open = 1s;
        if (point == Point::room) reserved = *places.try_reserve(2);
        if (point == Point::memory) reserved = *memory.try_reserve(150'000);
        if (point == Point::open || point == Point::room || point == Point::memory) return borrow(*io);

        auto first = borrow(*own);
        lease.emplace(std::move(*first.value()));
        if (point == Point::check) {
            factory->check = 1s;
            lease.reset();
            time.advance(1min);
        } else if (point == Point::reset) {
            factory->reset = 1s;
            static_cast<void>(**lease);
            lease.reset();
        } else if (point == Point::goodbye) {
            factory->close = 1s;
            lease->mark_broken();
            lease.reset();
        }
        poll();
        return borrow(*io);
    }
    // What he waits for is on its way, where that is the point.
    void hand_over_at(Point point) {
        if (point == Point::hand_over) lease.reset();
    }
    // Who comes after him, whom the memory has no room for where others wait for some.
    Call come_behind(Point point) {
        auto next = borrow(*own);
        if (point == Point::memory) {
            EXPECT_EQ(next.value().error(), Errc::memory_limit_exceeded);
        } else {
            EXPECT_FALSE(next.ended());
        }
        return next;
    }
    void expect_served(Point point, Call& next) {
        lease.reset();
        reserved.release();
        settle();
        if (point == Point::memory) next = borrow(*own);
        settle();
        EXPECT_TRUE(next.value());
        next.value() = Error{Errc::cancelled};
        expect_nothing_left_at_its_end();
    }
    // What runs on by itself comes to its end.
    void settle() {
        for (int sleeps = 0; sleeps < 20 && time.next_wake(); ++sleeps) {
            time.advance_to(*time.next_wake());
            poll();
        }
    }
    void poll() {
        for (int turn = 0; turn < 5; ++turn) {
            for (auto* const context : {&io, &own}) {
                if (!*context) continue;
                (*context)->restart();
                (*context)->poll();
            }
        }
    }
    void expect_nobody_waits() {
        EXPECT_EQ(pool->get_stats().waiting, 0u);
        EXPECT_EQ(places.waiting() + memory.waiting(), 0u);
        EXPECT_EQ(memory.used() % 10'000, 0u) << "what a waiter is charged";
    }
    void expect_nothing_left_at_its_end() {
        lease.reset();
        reserved.release();
        pool->close();
        poll();
        settle();
        EXPECT_EQ(pool->get_stats().total, 0u);
        pool.reset();
        EXPECT_EQ(places.used(), 0u);
        EXPECT_EQ(memory.used(), 0u);
        EXPECT_EQ(time.sleepers(), 0u);
        EXPECT_EQ(factory->running, 0);
        EXPECT_EQ(factory->alive, 0);
    }

    ManualTime time;
    SlowConnections factory{time};
    std::optional<asio::io_context> io{std::in_place}, own{std::in_place};
    const MemoryAccount places{"places", 2}, memory{"memory", 250'000};
    MemoryReservation reserved;
    std::optional<Pool> pool;
    std::optional<Pool::Lease> lease;
};

class CancelledBorrowerTest : public EndedBorrower,
                              public ::testing::TestWithParam<std::tuple<Point, asio::cancellation_type>> {
  protected:
    static Point point() { return std::get<0>(GetParam()); }
    static asio::cancellation_type kind() { return std::get<1>(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Everywhere, CancelledBorrowerTest,
                         ::testing::Combine(::testing::ValuesIn(points),
                                            ::testing::ValuesIn(testing::cancellation_kinds)));

TEST_P(CancelledBorrowerTest, LeavesNothingBehind) {
    auto call = come_to(point());
    ASSERT_FALSE(call.ended());
    hand_over_at(point());

    call.cancel(kind());
    poll();

    ASSERT_TRUE(call.ended());
    if (point() == Point::hand_over)
        call.value() = Error{Errc::cancelled}; // it came nevertheless, and goes back
    else
        EXPECT_EQ(call.value().error(), Errc::cancelled);
    expect_nobody_waits();
    settle();
    expect_nothing_left_at_its_end();
}

TEST_P(CancelledBorrowerTest, TheOneBehindHimIsServed) {
    auto call = come_to(point());
    auto next = come_behind(point());
    hand_over_at(point());

    call.cancel(kind());
    poll();

    if (point() == Point::hand_over) call.value() = Error{Errc::cancelled};
    expect_served(point(), next);
}

// The frame of the borrower is destroyed with its context.
class DestroyedBorrowerTest : public EndedBorrower, public ::testing::TestWithParam<Point> {};

INSTANTIATE_TEST_SUITE_P(Everywhere, DestroyedBorrowerTest, ::testing::ValuesIn(points));

TEST_P(DestroyedBorrowerTest, LeavesNothingBehind) {
    auto call = come_to(GetParam());
    hand_over_at(GetParam());

    io.reset();

    EXPECT_FALSE(call.ended());
    poll();
    expect_nobody_waits();
    settle();
    expect_nothing_left_at_its_end();
}

TEST_P(DestroyedBorrowerTest, TheOneBehindHimIsServed) {
    auto call = come_to(GetParam());
    auto next = come_behind(GetParam());
    hand_over_at(GetParam());

    io.reset();
    poll();

    EXPECT_FALSE(call.ended());
    expect_served(GetParam(), next);
}

TEST_P(DestroyedBorrowerTest, WithThePoolItselfAndItsContext) {
    auto call = come_to(GetParam());
    auto behind = come_behind(GetParam());
    hand_over_at(GetParam());

    pool.reset();
    own.reset();
    poll();
    lease.reset();
    reserved.release();
    call = Call{};
    behind = Call{};
    io.reset();

    EXPECT_EQ(places.used(), 0u);
    EXPECT_EQ(memory.used(), 0u);
    EXPECT_EQ(time.sleepers(), 0u);
    EXPECT_EQ(factory->running, 0);
    EXPECT_EQ(factory->alive, 0);
}

// Who waits for the end of all connections.
class CancelledDrainTest : public EndedBorrower, public ::testing::TestWithParam<asio::cancellation_type> {
  protected:
    CancelledDrainTest() {
        auto first = borrow(*own);
        lease.emplace(std::move(*first.value()));
    }
};

INSTANTIATE_TEST_SUITE_P(Kinds, CancelledDrainTest, ::testing::ValuesIn(testing::cancellation_kinds));

TEST_P(CancelledDrainTest, LeavesThePoolClosedAndNothingBehind) {
    const auto call = testing::start(*io, pool->close(1h));
    poll();
    ASSERT_FALSE(call.ended());

    call.cancel(GetParam());
    poll();

    EXPECT_EQ(call.value().error(), ErrorType::cancelled);
    EXPECT_EQ(time.sleepers(), 0u);
    EXPECT_EQ(borrow(*own).value().error(), Errc::pool_closed);
    expect_nothing_left_at_its_end();
}

TEST_P(CancelledDrainTest, OrIsDestroyedWithItsContext) {
    const auto call = testing::start(*io, pool->close(1h));
    poll();

    io.reset();

    EXPECT_FALSE(call.ended());
    expect_nothing_left_at_its_end();
}

} // namespace
} // namespace velostream
