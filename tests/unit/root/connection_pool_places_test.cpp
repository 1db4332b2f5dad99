// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <optional>
#include <string>

#include "connection_pool_fixture.hpp"
#include "velostream/async_reserve.hpp"

namespace velostream {
namespace {

// A pool that shares its places with this test.
class SharedPlacesTest : public ConnectionPoolTest {
  protected:
    MemoryReservation take_place() { return *places.try_reserve(1); }

    const MemoryAccount places{"connections", 2};
};

TEST_F(SharedPlacesTest, APlaceThatAnotherPoolFreesGoesToWhoWaits) {
    make_pool(2, places.child("first"));
    Pool other{io.get_executor(), passive(2), factory, {.places = places.child("other")}, time};
    auto& holder = borrow();
    borrow();
    auto& waiter = borrow(other);
    EXPECT_FALSE(waiter.answer);

    (*holder.answer)->mark_broken();
    holder.give_back();
    run();

    EXPECT_TRUE(waiter.has_connection());
    EXPECT_EQ(factory.counts().most_alive, 2u);
}

TEST_F(SharedPlacesTest, AnIdleConnectionMakesPlaceForABorrowerOfAnotherPool) {
    auto ready = passive(2);
    ready.min_idle = 2;
    make_pool(ready, {.places = places});
    run();
    ASSERT_EQ(pool->get_stats().idle, 2u);
    Pool other{io.get_executor(), passive(2), factory, {.places = places}, time};

    EXPECT_TRUE(borrow(other).has_connection());
    EXPECT_TRUE(borrow(other).has_connection());
    EXPECT_EQ(pool->get_stats().closed_for(PoolClosing::yielded), 2u);
    EXPECT_EQ(factory.counts().most_alive, 2u);

    borrowers.clear(); // both are idle there
    run();
    pass(1s);
    EXPECT_EQ(pool->get_stats().total, 0u); // to be ready is no reason to take anything from anybody
    EXPECT_EQ(other.get_stats().idle, 2u);
}

TEST_F(SharedPlacesTest, AConnectionThatComesBackMakesPlaceForABorrowerOfAnotherPool) {
    make_pool(2, places);
    auto& holder = borrow();
    borrow();
    Pool other{io.get_executor(), passive(2), factory, {.places = places}, time};
    auto& waiter = borrow(other);
    EXPECT_FALSE(waiter.answer);

    holder.give_back();
    run();

    EXPECT_TRUE(waiter.has_connection());
    EXPECT_EQ(pool->get_stats().total, 1u);
}

TEST_F(SharedPlacesTest, ABorrowerOfThisPoolIsServedBeforeAnotherPools) {
    make_pool(1, places);
    auto& holder = borrow();
    const auto other_place = take_place();
    Pool other{io.get_executor(), passive(1), factory, {.places = places}, time};
    auto& elsewhere = borrow(other);
    auto& here = borrow();

    holder.give_back();
    run();

    EXPECT_TRUE(here.has_connection());
    EXPECT_FALSE(elsewhere.answer);
}

TEST_F(SharedPlacesTest, EveryPlaceThatComesFreeIsUsed) {
    make_pool(5, places);
    auto first = take_place();
    auto second = take_place();
    borrow();
    borrow();
    borrow();

    first.release();
    run();
    EXPECT_EQ(pool->get_stats().active, 1u);
    second.release();
    run();

    EXPECT_EQ(pool->get_stats().active, 2u);
    EXPECT_EQ(pool->get_stats().waiting, 1u);
    EXPECT_EQ(pool->get_stats().connecting, 0u);
}

TEST_F(SharedPlacesTest, ACancelledWaiterStandsInLineNoMore) {
    make_pool(1, places);
    auto first = take_place();
    const auto second = take_place();
    auto& waiter = borrow();
    waiter.cancel.emit(asio::cancellation_type::terminal);
    run();

    first.release();

    EXPECT_EQ(places.used(), 1u);
}

TEST_F(SharedPlacesTest, WhoTimedOutStandsInLineNoMore) {
    make_pool(1, places);
    auto first = take_place();
    const auto second = take_place();
    auto& waiter = borrow();
    pass(30s);
    EXPECT_EQ(waiter.error(), Errc::pool_timeout);

    first.release();

    EXPECT_EQ(places.used(), 1u);
}

TEST_F(SharedPlacesTest, WhoGotAReturnedConnectionStandsInLineNoMore) {
    make_pool(2, places);
    auto taken = take_place();
    auto& holder = borrow();
    auto& waiter = borrow();
    holder.give_back();
    run();
    EXPECT_TRUE(waiter.has_connection());

    taken.release();

    EXPECT_EQ(places.used(), 1u);
}

TEST_F(SharedPlacesTest, APlaceThatComesTooLateIsGivenBack) {
    make_pool(1, places);
    auto first = take_place();
    const auto second = take_place();
    auto& waiter = borrow();
    first.release(); // on its way
    EXPECT_EQ(places.used(), 2u);
    waiter.cancel.emit(asio::cancellation_type::terminal);

    run();

    EXPECT_EQ(waiter.error(), Errc::cancelled);
    EXPECT_EQ(places.used(), 1u + pool->get_stats().total);
}

TEST_F(SharedPlacesTest, ThePlaceOfAFailedConnectIsFreeBeforeTheFailureIsTold) {
    make_pool(1, places);
    const auto first = take_place();
    factory.delay_opens(1s);
    factory.fail_next_opens(Errc::connect_failed);
    std::string order;
    const auto told = [&](std::exception_ptr, const Result<Lease>& answer) { order += answer ? "lease " : "failure "; };
    asio::co_spawn(io, pool->get_connection(), told);
    run();
    async_reserve(places, 1, asio::bind_executor(io, [&](const auto&) { order += "place "; }));

    pass(1s);

    EXPECT_EQ(order, "place failure ");
}

TEST_F(SharedPlacesTest, ThePoolsEndEndsItsPlaceInLine) {
    make_pool(1, places);
    auto first = take_place();
    const auto second = take_place();
    auto& waiter = borrow();
    pool.reset();

    first.release();

    EXPECT_EQ(places.used(), 1u);
    run();
    EXPECT_EQ(waiter.error(), Errc::pool_closed);
}

TEST_F(SharedPlacesTest, APlaceOnItsWayWhenThePoolEndsIsGivenBack) {
    make_pool(1, places);
    auto first = take_place();
    const auto second = take_place();
    borrow();
    first.release();
    pool.reset();

    run();

    EXPECT_EQ(places.used(), 1u);
    EXPECT_EQ(factory.counts().opens, 0u);
}

TEST_F(SharedPlacesTest, WhoHasGoneIsNoNeighbourAnyMore) {
    const auto before = detail::ConnectionNeighbour::known();
    make_pool(1);
    EXPECT_EQ(detail::ConnectionNeighbour::known(), before + 1);

    pool.reset();

    EXPECT_EQ(detail::ConnectionNeighbour::known(), before);
}

} // namespace
} // namespace velostream
