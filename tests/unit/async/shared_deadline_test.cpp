// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/shared_deadline.hpp"

#include <gtest/gtest.h>

#include <boost/asio/dispatch.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace velostream {
namespace {

using namespace std::chrono_literals;

TimePoint now() {
    return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now());
}

// Calls a function when it rings.
class Bell : public SharedDeadline {
  public:
    explicit Bell(std::function<void()> then = nullptr)
        : SharedDeadline([](SharedDeadline& deadline) { static_cast<Bell&>(deadline).ring(); }),
          then_(std::move(then)) {}

    int rings = 0;
    TimePoint rang_at{};

  private:
    void ring() {
        ++rings;
        rang_at = now();
        if (then_) then_();
    }
    std::function<void()> then_;
};

TEST(SharedDeadline, RingsOnceAndNotBeforeItsTime) {
    asio::io_context io;
    Bell bell;
    const auto at = now() + 5ms;

    bell.arm(io.get_executor(), at);
    io.run();

    EXPECT_EQ(bell.rings, 1);
    EXPECT_GE(bell.rang_at, at);
}

TEST(SharedDeadline, NeverRingsInsideTheCallThatArmsIt) {
    asio::io_context io;
    Bell bell;

    bell.arm(io.get_executor(), now() - 1h);
    EXPECT_EQ(bell.rings, 0);

    io.run();
    EXPECT_EQ(bell.rings, 1);
}

TEST(SharedDeadline, ThatIsDisarmedDoesNotRing) {
    asio::io_context io;
    Bell disarmed, other, again;
    {
        Bell destroyed;
        destroyed.arm(io.get_executor(), now());
        disarmed.arm(io.get_executor(), now());
        again.arm(io.get_executor(), now());
        again.arm(io.get_executor(), now() + 1ms);
        other.arm(io.get_executor(), now());
        disarmed.disarm();
    }

    io.run();

    EXPECT_EQ(disarmed.rings, 0);
    EXPECT_EQ(other.rings, 1);
    EXPECT_EQ(again.rings, 1);
}

// The first one's turn has come, and the second one's number is on its way.
TEST(SharedDeadline, MayDisarmDestroyAndArmOthersThatAreDueWithIt) {
    asio::io_context io;
    Bell disarmed;
    auto destroyed = std::make_unique<Bell>();
    Bell armed;
    Bell first{[&] {
        disarmed.disarm();
        destroyed.reset();
        armed.arm(io.get_executor(), now());
    }};
    const auto at = now() + 1ms;
    first.arm(io.get_executor(), at);
    disarmed.arm(io.get_executor(), at);
    destroyed->arm(io.get_executor(), at);

    io.run();

    EXPECT_EQ(first.rings, 1);
    EXPECT_EQ(armed.rings, 1);
}

TEST(SharedDeadline, RingsOnItsOwnExecutor) {
    asio::io_context io;
    const auto strand = asio::make_strand(io);
    bool on_strand = false;
    Bell bell{[&] { on_strand = strand.running_in_this_thread(); }};

    bell.arm(strand, now());
    io.run();

    EXPECT_TRUE(on_strand);
}

// Whatever the strand of the first one is made of: its handlers, which may be long, do not hold up the others.
template <class Strand>
void expect_rings_past_a_busy(const Strand& busy, asio::thread_pool& pool) {
    std::promise<void> is_busy, may_go_on, first_rang, second_rang;
    Bell first{[&] { first_rang.set_value(); }};
    Bell second{[&] { second_rang.set_value(); }};
    asio::dispatch(busy, [&] { first.arm(busy, now()); });
    first_rang.get_future().wait(); // the timer has been made
    asio::post(busy, [&, until = may_go_on.get_future().share()] {
        is_busy.set_value();
        until.wait();
    });
    is_busy.get_future().wait();

    const Strand other{busy.get_inner_executor()}; // on another thread: there are two
    asio::dispatch(other, [&] { second.arm(other, now()); });

    second_rang.get_future().wait();
    EXPECT_EQ(second.rings, 1);
    may_go_on.set_value();
    pool.stop();
    pool.join();
}

TEST(SharedDeadline, DoesNotStandInLineInTheStrandOfAPool) {
    asio::thread_pool pool{2};
    expect_rings_past_a_busy(asio::make_strand(pool), pool);
}

TEST(SharedDeadline, DoesNotStandInLineInAStrandOfAnyExecutor) {
    asio::thread_pool pool{2};
    expect_rings_past_a_busy(asio::make_strand(asio::any_io_executor{pool.get_executor()}), pool);
}

TEST(SharedDeadline, DoesNotStandInLineInAStrandOfAnExecutorThatCountsWork) {
    asio::thread_pool pool{2};
    const auto tracked = asio::require(pool.get_executor(), asio::execution::outstanding_work.tracked);
    expect_rings_past_a_busy(asio::make_strand(tracked), pool);
}

TEST(SharedDeadline, LetsAContextEndWhoseWorkItsExecutorCounts) {
    asio::io_context io;
    Bell bell;
    bell.arm(asio::require(io.get_executor(), asio::execution::outstanding_work.tracked), now());

    io.run(); // until it has run out of work

    EXPECT_EQ(bell.rings, 1);
}

TEST(SharedDeadline, MayBeArmedAgainWhileItRings) {
    asio::io_context io;
    std::optional<Bell> bell;
    bell.emplace([&] {
        if (bell->rings < 3) bell->arm(io.get_executor(), now());
    });

    bell->arm(io.get_executor(), now());
    io.run();

    EXPECT_EQ(bell->rings, 3);
}

TEST(SharedDeadline, KeepsAContextThatHasNothingElseToDoForAShortWhileOnly) {
    asio::io_context io;
    const auto begin = now();
    {
        Bell far;
        far.arm(io.get_executor(), now() + 1h);
    }

    io.run();

    EXPECT_LT(now() - begin, 10s); // `linger` is 50 ms
}

TEST(SharedDeadline, OutlivesItsContext) {
    std::optional<asio::io_context> io{std::in_place};
    Bell armed, due;
    armed.arm(io->get_executor(), now() + 1h);
    due.arm(io->get_executor(), now() - 1s);
    while (io->poll_one() == 0) continue; // the timer: it has posted the one that is due
    io.reset();

    armed.disarm();

    EXPECT_EQ(armed.rings + due.rings, 0);
}

} // namespace
} // namespace velostream
