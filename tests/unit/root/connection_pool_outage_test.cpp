// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/asio/error.hpp>
#include <string>
#include <vector>

#include "connection_pool_fixture.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/testing/recording_observer.hpp"

namespace velostream {
namespace {

class ConnectionPoolOutageTest : public ConnectionPoolTest {
  protected:
    const Error refused = boost::system::error_code{asio::error::connection_refused};
};

TEST_F(ConnectionPoolOutageTest, OneProbeAfterTheOtherWhileSomebodyCares) {
    make_pool(10);
    factory.fail_next_opens(refused, 1000);
    borrow();
    ASSERT_EQ(factory.counts().opens, 1u);

    for (int step = 0; step < 1000; ++step) pass(10ms); // within the 30 s after he was refused

    EXPECT_GE(factory.counts().opens, 1u + 10'000 / 260); // at the latest every 250 ms
    EXPECT_LE(factory.counts().opens, 1u + 10'000 / 200);
}

TEST_F(ConnectionPoolOutageTest, ProbesBecomeRareWhenNobodyCares) {
    auto config = passive(10);
    config.min_idle = 1;
    make_pool(config);
    factory.fail_next_opens(refused, 1000);
    run();
    for (int step = 0; step < 600; ++step) pass(1s);
    const auto before = factory.counts().opens;

    for (int step = 0; step < 300; ++step) pass(1s);

    EXPECT_LE(factory.counts().opens - before, 13u); // every 24 to 30 s
    EXPECT_GE(factory.counts().opens - before, 9u);
}

TEST_F(ConnectionPoolOutageTest, AfterTheFirstSuccessEverybodyIsServed) {
    make_pool(4);
    factory.fail_next_opens(refused, 3);
    borrow();
    for (int step = 0; step < 20; ++step) pass(50ms);
    ASSERT_GE(factory.counts().opens, 4u);

    for (int count = 0; count < 4; ++count) EXPECT_TRUE(borrow().has_connection()) << count;
}

TEST_F(ConnectionPoolOutageTest, AConnectThatHangsIsGivenUpForAnotherAndTheFirstKeepsItsTime) {
    auto config = passive(10);
    config.connect_limit = 2;
    config.connection_timeout = 20s;
    make_pool(config);
    factory.delay_opens(1h);
    auto& waiter = borrow();
    for (int step = 0; step < 20; ++step) pass(50ms);
    EXPECT_EQ(pool->get_stats().connecting, 2u);
    EXPECT_GE(factory.counts().opens, 4u);
    factory.delay_opens(0s);
    pass(250ms);

    EXPECT_TRUE(waiter.has_connection());
    EXPECT_EQ(pool->get_stats().connect_failures, 0u); // those that were given up say nothing
}

TEST_F(ConnectionPoolOutageTest, AConnectHasItsTimeAndNoLonger) {
    auto config = passive(1);
    config.connect_timeout = 2s;
    make_pool(config);
    factory.delay_opens(1h);
    auto& waiter = borrow();

    pass(2s - 1ms);
    EXPECT_FALSE(waiter.answer);
    pass(1ms);

    EXPECT_EQ(waiter.error(), Errc::connect_failed);
    ASSERT_NE(waiter.error().inner(), nullptr);
    EXPECT_EQ(waiter.error().inner()->type(), ErrorType::timeout);
}

TEST_F(ConnectionPoolOutageTest, WhoIsNotAcceptedIsMisconfiguredAndAsksTenTimesLessOften) {
    make_pool(1);
    factory.fail_next_opens(Error{boost::system::error_code{asio::error::access_denied}}, 1000);
    ASSERT_TRUE(Error{boost::system::error_code{asio::error::access_denied}}.type() == ErrorType::authorization ||
                Error{boost::system::error_code{asio::error::access_denied}}.type() == ErrorType::authentication);

    auto& borrower = borrow();

    EXPECT_TRUE(pool->get_stats().is_misconfigured);
    const auto detail = std::string{borrower.error().detail()};
    for (int step = 0; step < 100; ++step) pass(100ms);
    EXPECT_LE(factory.counts().opens, 1u + 10'000 / 2'000);
    EXPECT_GE(factory.counts().opens, 1u + 10'000 / 2'600);
    EXPECT_NE(std::string{borrow().error().detail()}.find("does not accept who we are"), std::string::npos);
}

TEST_F(ConnectionPoolOutageTest, MoreThanMaxWaitersAreRefusedAtOnce) {
    auto config = passive(1);
    config.max_waiters = 2;
    make_pool(config);
    borrow();
    borrow();
    borrow();

    auto& fourth = borrow();

    EXPECT_EQ(fourth.error(), Errc::pool_exhausted);
    const auto detail = std::string{fourth.error().detail()};
    EXPECT_NE(detail.find("1 active, 0 idle, 0 connecting, 2 waiting of max_size 1"), std::string::npos) << detail;
    EXPECT_EQ(fourth.error().type(), ErrorType::resource_exhausted);
    EXPECT_EQ(pool->get_stats().refused, 1u);
}

TEST_F(ConnectionPoolOutageTest, ByDefaultTenMayWaitForEachConnection) {
    make_pool(2);
    for (int count = 0; count < 22; ++count) borrow();
    EXPECT_EQ(pool->get_stats().waiting, 20u);

    EXPECT_EQ(borrow().error(), Errc::pool_exhausted);
}

TEST_F(ConnectionPoolOutageTest, FeedsABreakerThatIsOpenBeforeAnybodyIsTold) {
    CircuitBreaker breaker{"orders-db", {.failure_threshold = 1}, nullptr, time};
    make_pool(passive(1), {.on_connect = feed(breaker)});
    factory.fail_next_opens(refused);

    EXPECT_EQ(borrow().error(), Errc::connect_failed);
    EXPECT_EQ(breaker.get_stats().state, CircuitState::open);
    EXPECT_EQ(breaker.get_stats().failure_count, 1u);
}

TEST_F(ConnectionPoolOutageTest, FeedsABreakerItsSuccessesToo) {
    CircuitBreaker breaker{"orders-db", {.failure_threshold = 1, .success_threshold = 1, .timeout = 1s}, nullptr, time};
    make_pool(passive(1), {.on_connect = feed(breaker)});
    factory.fail_next_opens(refused);
    borrow();
    ASSERT_EQ(breaker.get_stats().state, CircuitState::open);

    for (int step = 0; step < 20; ++step) pass(100ms);
    EXPECT_TRUE(borrow().has_connection()); // opened before the breaker's timeout: that admitted nothing yet
    EXPECT_NE(breaker.get_stats().state, CircuitState::closed);
    (*borrowers.back()->answer)->mark_broken();
    borrowers.back()->give_back();
    run();
    EXPECT_TRUE(borrow().has_connection());
    EXPECT_EQ(breaker.get_stats().state, CircuitState::closed);
}

TEST_F(ConnectionPoolOutageTest, TellsTheObserverOfEachConnectThatFails) {
    const auto observer = std::make_shared<testing::RecordingObserver>();
    make_pool(passive(1), {.name = "orders-db", .observer = observer});
    factory.fail_next_opens(refused);
    borrow();

    ASSERT_EQ(observer->failed_connects().size(), 1u);
    EXPECT_EQ(observer->failed_connects()[0].pool, "orders-db");
    EXPECT_EQ(observer->failed_connects()[0].error, ErrorType::network);
    EXPECT_EQ(pool->get_stats().connect_failures, 1u);
    ASSERT_TRUE(pool->get_stats().last_connect_error);
    EXPECT_EQ(*pool->get_stats().last_connect_error, ErrorType::network);
}

TEST_F(ConnectionPoolOutageTest, WhoHasADeadlineOfHisOwnWaitsNoLongerThanThat) {
    make_pool(1);
    borrow();
    auto& waiter = *borrowers.emplace_back(std::make_unique<Borrower>());
    asio::co_spawn(io, pool->get_connection(time.now() + 1s),
                   [&](std::exception_ptr, Result<Lease> answer) { waiter.answer.emplace(std::move(answer)); });
    run();
    auto& patient = borrow();

    pass(1s);

    EXPECT_EQ(waiter.error(), Errc::pool_timeout);
    EXPECT_FALSE(patient.answer);
}

} // namespace
} // namespace velostream
