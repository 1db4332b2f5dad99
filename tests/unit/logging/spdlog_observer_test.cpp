// SPDX-License-Identifier: Apache-2.0
#include "velostream/logging/spdlog_observer.hpp"

#include <gtest/gtest.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/ostream_sink.h>

#include <functional>
#include <mutex>
#include <source_location>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace velostream {
namespace {

using namespace std::chrono_literals;

const Error error{Errc::send_timeout, "topic orders"};

/// An event, and the line it prints without the level.
struct Case {
    const char* line;
    std::function<void(Observer&)> event;
};

const Case allocated{"event=memory_allocated account=process name=window_buffer bytes=100 used=300 limit=1000",
                     [](Observer& o) { o.on_memory_allocated({"process", "window_buffer", 100, 300, 1000}); }};
const Case released{"event=memory_released account=process name=window_buffer bytes=100 used=200",
                    [](Observer& o) { o.on_memory_released({"process", "window_buffer", 100, 200}); }};
const Case refused{
    "event=memory_refused account=process name=window_buffer asked=900 error=\"send timed out: topic orders\"",
    [](Observer& o) { o.on_memory_refused({"process", "window_buffer", 900, error}); }};
const Case stalled{"event=memory_stalled account=windows waiting=3 used=900 limit=1000 lasts=30000ms",
                   [](Observer& o) { o.on_memory_stalled({"windows", 3, 900, 1000, 30s}); }};
const Case state_changed{
    "event=circuit_state_changed breaker=orders-kafka from=closed to=open why=\"5 failures\"", [](Observer& o) {
        o.on_circuit_state_changed({"orders-kafka", CircuitState::closed, CircuitState::open, "5 failures", {}});
    }};
const Case rejected{"event=call_rejected breaker=orders-kafka retry_after=250.5ms",
                    [](Observer& o) { o.on_call_rejected({"orders-kafka", 250500us}); }};
const Error limited = Error{Errc::rate_limited, "permits 1"}.with_retry_after(5ms);
const Case call_refused{
    "event=call_refused limiter=archive why=\"no turn in time\" retry_after=5ms "
    "error=\"rate limited: permits 1\"",
    [](Observer& o) { o.on_call_refused({"archive", "no turn in time", limited}); }};
const Case limit_changed{"event=concurrency_limit_changed limiter=archive from=20 to=18 why=\"latency rose\"",
                         [](Observer& o) { o.on_concurrency_limit_changed({"archive", 20, 18, "latency rose"}); }};
const Case scheduled{"event=retry_scheduled failed_attempts=2 delay=200ms error=\"send timed out: topic orders\"",
                     [](Observer& o) { o.on_retry_scheduled({2, 200ms, error}); }};
const Case given_up{"event=retry_given_up attempts=4 why=\"no retries left\" error=\"send timed out: topic orders\"",
                    [](Observer& o) { o.on_retry_given_up({4, "no retries left", error}); }};
const Case given_up_late{
    "event=retry_given_up attempts=4 elapsed=4700.5ms why=\"no retries left\" "
    "error=\"send timed out: topic orders\"",
    [](Observer& o) { o.on_retry_given_up({4, "no retries left", error, 4700500us}); }};
const Case given_up_later{
    "event=retry_given_up attempts=4 elapsed_more_than=4700.5ms why=\"no retries left\" "
    "error=\"send timed out: topic orders\"",
    [](Observer& o) { o.on_retry_given_up({4, "no retries left", error, 4700500us, true}); }};
const Case stored{"event=dead_letter_stored topic=failed-records error=\"send timed out: topic orders\"",
                  [](Observer& o) { o.on_dead_letter_stored({"failed-records", error}); }};
const Case connect_failed{"event=connect_failed pool=orders-db error=\"send timed out: topic orders\"",
                          [](Observer& o) { o.on_connect_failed({"orders-db", error}); }};

class SpdlogObserverTest : public ::testing::Test {
  protected:
    SpdlogObserverTest() {
        logger->set_pattern("%l %v");
        logger->set_level(spdlog::level::trace);
    }
    // What one event prints, without the line's end.
    template <class Event>
    std::string printed(const LogSelection& selection, Event event) {
        SpdlogObserver observer{logger, selection};
        out.str("");
        event(observer);
        auto line = out.str();
        if (line.ends_with('\n')) line.pop_back();
        return line;
    }
    void expect_prints(const LogSelection& selection, std::vector<Case> events, const std::string& level) {
        for (const auto& [line, event] : events) EXPECT_EQ(printed(selection, event), level + ' ' + line);
    }

    std::ostringstream out;
    std::shared_ptr<spdlog::logger> logger =
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
};

TEST_F(SpdlogObserverTest, PrintsTheSelectedEventsAtInfo) {
    expect_prints({.allocations = true}, {allocated, released, refused}, "info");
    expect_prints({.circuit_states = true}, {state_changed}, "info");
    expect_prints({.retry_attempts = true}, {scheduled, given_up, given_up_late, given_up_later}, "info");
}

TEST_F(SpdlogObserverTest, PrintsDetailsAtDebug) {
    expect_prints({.memory_details = true}, {allocated, released, refused}, "debug");
    expect_prints({.circuit_details = true}, {state_changed, rejected}, "debug");
    expect_prints({.retry_details = true}, {scheduled, given_up, given_up_late, given_up_later}, "debug");
    expect_prints({.refused_calls = true}, {call_refused}, "debug");
    expect_prints({.limit_changes = true}, {limit_changed}, "debug");
    expect_prints({.dead_letters = true}, {stored}, "debug");
    expect_prints({.connects = true}, {connect_failed}, "debug");
}

TEST_F(SpdlogObserverTest, PrintsNothingThatIsNotSelected) {
    for (const auto& [line, event] : {allocated, released, refused, state_changed, rejected, call_refused,
                                      limit_changed, scheduled, given_up, stored, connect_failed})
        EXPECT_EQ(printed({}, event), "") << line;
    EXPECT_EQ(printed({.circuit_states = true}, rejected.event), "");
}

TEST_F(SpdlogObserverTest, WhatIsSelectedTwiceIsPrintedOnceAtInfo) {
    expect_prints(LogSelection::everything(), {allocated, state_changed, scheduled}, "info");
}

TEST_F(SpdlogObserverTest, AlwaysPrintsPressure) {
    const auto pressure = [](PressureLevel from, PressureLevel to) {
        return [=](Observer& o) { o.on_pressure_changed({from, to, 81.5}); };
    };

    EXPECT_EQ(printed({}, stalled.event), "warning " + std::string{stalled.line});
    const auto here = std::source_location::current();
    const auto leaked = [&](Observer& observer) {
        observer.on_connection_leaked({.pool = "orders-db", .lent_for = 60s, .borrowed_at = here});
    };
    EXPECT_EQ(printed({}, leaked), "warning event=connection_leaked pool=orders-db lent_for=60000ms file=" +
                                       std::string{here.file_name()} + " line=" + std::to_string(here.line()));
    EXPECT_EQ(printed({}, pressure(PressureLevel::normal, PressureLevel::high)),
              "warning event=pressure_changed from=normal to=high pressure_percentage=81.5");
    EXPECT_EQ(printed({}, pressure(PressureLevel::high, PressureLevel::critical)),
              "error event=pressure_changed from=high to=critical pressure_percentage=81.5");
    EXPECT_EQ(printed({}, pressure(PressureLevel::high, PressureLevel::normal)),
              "info event=pressure_changed from=high to=normal pressure_percentage=81.5");
}

TEST_F(SpdlogObserverTest, AlwaysPrintsDeadLettersThatAreDelayed) {
    EXPECT_EQ(printed({}, [](Observer& o) { o.on_dead_letter_delayed({"failed-records", 2, error}); }),
              "warning event=dead_letter_delayed topic=failed-records failed_deliveries=2 "
              "error=\"send timed out: topic orders\"");
}

TEST_F(SpdlogObserverTest, PrintsSpooledDeadLettersWhereSelectedAndStuckOnesAndFloodsAlways) {
    const auto spooled = [](Observer& o) { o.on_dead_letter_spooled({"failed-records", error, 7}); };
    EXPECT_EQ(printed({}, spooled), "");
    EXPECT_EQ(printed({.dead_letters = true}, spooled),
              "debug event=dead_letter_spooled topic=failed-records waiting=7 error=\"send timed out: topic orders\"");
    EXPECT_EQ(printed({}, [](Observer& o) { o.on_dead_letter_flood({"failed-records", "one cause", 10s, error}); }),
              "error event=dead_letter_flood topic=failed-records why=\"one cause\" hold=10000ms "
              "error=\"send timed out: topic orders\"");
    EXPECT_EQ(printed({}, [](Observer& o) { o.on_dead_letters_stuck({"failed-records", 7, 4, error}); }),
              "error event=dead_letters_stuck topic=failed-records waiting=7 failed_deliveries=4 "
              "error=\"send timed out: topic orders\"");
}

TEST_F(SpdlogObserverTest, AlwaysPrintsThatATopicDiffers) {
    const auto differs = [](Observer& o) { o.on_dead_letter_topic_differs({"failed", "retention.ms", "1000", "2"}); };
    EXPECT_EQ(printed({}, differs),
              "warning event=dead_letter_topic_differs topic=failed setting=retention.ms wanted=1000 actual=2");
}

TEST_F(SpdlogObserverTest, QuotesAndEscapesValuesSoThatALineStaysOneLine) {
    const Error nasty{Errc::operation_failed, "a\"b\\c=d\ne\x01"};

    EXPECT_EQ(printed({.retry_attempts = true}, [&](Observer& o) { o.on_retry_given_up({1, "", nasty}); }),
              R"(info event=retry_given_up attempts=1 why="" error="operation failed: a\"b\\c=d\ne\x01")");
}

TEST_F(SpdlogObserverTest, BracesInAValueAreNoFormat) {
    EXPECT_EQ(printed({.circuit_details = true}, [](Observer& o) { o.on_call_rejected({"{}", std::nullopt}); }),
              "debug event=call_rejected breaker={}");
}

class BrokenSink final : public spdlog::sinks::base_sink<std::mutex> {
    void sink_it_(const spdlog::details::log_msg&) override { throw std::runtime_error("disk full"); }
    void flush_() override {}
};

TEST_F(SpdlogObserverTest, ALineThatCannotBePrintedIsLeftOut) {
    auto& sinks = logger->sinks();
    sinks.insert(sinks.begin(), std::make_shared<BrokenSink>());
    int complaints = 0;
    logger->set_error_handler([&](const std::string&) { ++complaints; });

    printed(LogSelection::everything(), allocated.event);
    sinks.erase(sinks.begin());

    EXPECT_EQ(complaints, 1);
    expect_prints(LogSelection::everything(), {allocated}, "info");
}

TEST_F(SpdlogObserverTest, TheLoggersOwnLevelApplies) {
    logger->set_level(spdlog::level::info);

    EXPECT_EQ(printed({.circuit_details = true}, rejected.event), "");
}

TEST(LogSelection, FollowsTheFlagsOfTheConfig) {
    const auto logs = LogSelection::from(
        {.log_resource_allocations = true, .log_circuit_breaker_state_changes = true, .log_retry_attempts = true});

    EXPECT_TRUE(logs.allocations && logs.circuit_states && logs.retry_attempts);
    EXPECT_FALSE(logs.memory_details || logs.circuit_details || logs.retry_details || logs.refused_calls ||
                 logs.limit_changes || logs.dead_letters);
    EXPECT_TRUE(LogSelection::from({.debug_resource_management = true}).memory_details);
    EXPECT_TRUE(LogSelection::from({.debug_resource_management = true}).refused_calls);
    EXPECT_TRUE(LogSelection::from({.debug_resource_management = true}).limit_changes);
    EXPECT_TRUE(LogSelection::from({.debug_resource_management = true}).connects);
    EXPECT_TRUE(LogSelection::from({.debug_circuit_breakers = true}).circuit_details);
    EXPECT_TRUE(LogSelection::from({.debug_retries = true}).retry_details);
    EXPECT_TRUE(LogSelection::from({.debug_retries = true}).dead_letters);
}

TEST_F(SpdlogObserverTest, TakesItsSelectionFromAConfig) {
    SpdlogObserver observer{logger, StreamingConfig{.log_retry_attempts = true}};

    scheduled.event(observer);
    rejected.event(observer);

    EXPECT_EQ(out.str(), std::string{"info "} + scheduled.line + "\n");
}

} // namespace
} // namespace velostream
