// SPDX-License-Identifier: Apache-2.0
// In a program of its own, whose throws are traced.
#include "velostream/base/trace_throws.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "unit/root/dead_letter_queue_fixture.hpp"
#include "velostream/base/error.hpp"
#include "velostream/base/result.hpp"
#include "velostream/base/stack_trace.hpp"

namespace velostream {
namespace {

struct Thrown {
    std::string here; // the stack of who threw, captured beside the throw
    std::exception_ptr exception;
    Error error;
};

std::string_view outer_frames(std::string_view trace) {
    return trace.substr(std::min(trace.find('\n'), trace.size()));
}

// The way into the function is the same for what it captures and what it throws: only the innermost frame differs.
template <class Throw>
[[gnu::noinline]] Thrown thrown_by(Throw throw_it) {
    Thrown thrown;
    thrown.here = StackTrace::capture().text();
    try {
        throw_it();
    } catch (...) {
        thrown.exception = std::current_exception();
        thrown.error = Error::from_exception(thrown.exception);
    }
    return thrown;
}

[[gnu::noinline]] void throw_own() {
    throw std::runtime_error{"own"};
}
[[gnu::noinline]] void throw_another() {
    throw std::logic_error{"another"};
}

std::string text_of(const Error& error) {
    return std::string{error.thrown_at().text()};
}

TEST(TraceThrows, AnErrorKnowsWhereItsExceptionWasThrown) {
    const auto thrown = thrown_by(throw_own);

    EXPECT_TRUE(text_of(thrown.error).ends_with(outer_frames(thrown.here))) << text_of(thrown.error);
    EXPECT_EQ(std::ranges::count(text_of(thrown.error), '\n'), std::ranges::count(thrown.here, '\n') + 1)
        << "begins with the function that throws";
}

TEST(TraceThrows, TheSamePlaceHasTheSameTextAndAnotherOneAnother) {
    std::vector<std::string> own;
    for (int i = 0; i < 2; ++i) own.push_back(text_of(thrown_by(throw_own).error));

    EXPECT_EQ(own[0], own[1]);
    EXPECT_NE(own[0], text_of(thrown_by(throw_another).error));
}

TEST(TraceThrows, WhatTheRuntimeThrowsHasItsPlaceToo) {
    const auto thrown = thrown_by([] { static_cast<void>(std::vector<int>{}.at(3)); });

    EXPECT_TRUE(text_of(thrown.error).ends_with(outer_frames(thrown.here))) << text_of(thrown.error);
}

TEST(TraceThrows, ThePlaceIsThatOfTheFirstThrow) {
    const auto thrown = thrown_by(throw_own);
    Error in_another_thread;
    std::thread{[&] {
        try {
            std::rethrow_exception(thrown.exception);
        } catch (...) {
            in_another_thread = Error::from_exception(std::current_exception());
        }
    }}.join();

    EXPECT_FALSE(text_of(in_another_thread).empty());
    EXPECT_EQ(text_of(in_another_thread), text_of(thrown.error));
}

TEST(TraceThrows, WhatWasNotThrownHasNone) {
    for (int i = 0; i < 100; ++i) {
        static_cast<void>(thrown_by(throw_own)); // leaves its memory to the next one
        const auto made = std::make_exception_ptr(std::runtime_error{"made"});
        ASSERT_TRUE(Error::from_exception(made).thrown_at().empty());
    }
    EXPECT_TRUE(Error{Errc::send_timeout}.thrown_at().empty());
    EXPECT_TRUE(Error::from_exception(nullptr).thrown_at().empty());
}

TEST(TraceThrows, AnErrorThatIsThrownKnowsWhere) {
    const Result<int> failed = Error{Errc::send_timeout};
    const auto thrown = thrown_by([&] { static_cast<void>(failed.value()); });

    EXPECT_EQ(thrown.error, Errc::send_timeout);
    EXPECT_TRUE(text_of(thrown.error).ends_with(outer_frames(thrown.here))) << text_of(thrown.error);
}

TEST(TraceThrows, ExhaustedRetriesAnswerAsTheirLastTry) {
    const auto thrown = thrown_by(throw_own);

    EXPECT_EQ(text_of(Error{Errc::retries_exhausted}.with_inner(thrown.error)), text_of(thrown.error));
}

TEST(TraceThrows, EachThreadFindsItsOwn) {
    const auto own = text_of(thrown_by(throw_own).error);
    const auto is_mine = [](const Thrown& thrown) {
        const auto text = text_of(thrown.error);
        return text.empty() || text.ends_with(outer_frames(thrown.here)); // empty where another took the place
    };
    std::vector<std::thread> threads;
    std::vector<int> wrong(4);
    for (std::size_t id = 0; id < wrong.size(); ++id)
        threads.emplace_back([&, id] {
            for (int i = 0; i < 2000; ++i)
                wrong[id] += is_mine(id % 2 == 0 ? thrown_by(throw_own) : thrown_by(throw_another)) ? 0 : 1;
        });
    for (auto& each : threads) each.join();

    EXPECT_THAT(wrong, ::testing::Each(0));
}

using TracedDeadLettersTest = DeadLetterQueueTest;

TEST_F(TracedDeadLettersTest, ADeadLetterSaysWhereTheExceptionWasThrownAndWhereItWasRecorded) {
    const auto thrown = thrown_by(throw_own);
    send(thrown.error);

    ASSERT_EQ(sink.letters().size(), 1u);
    const auto trace = sink.letters()[0].header("__connect.errors.exception.stacktrace").value();
    EXPECT_TRUE(trace.starts_with("thrown at\n" + text_of(thrown.error) + "\nrecorded at\n")) << trace;
    EXPECT_EQ(std::ranges::count(trace, '+'), std::ranges::count(trace, '\n') - 1) << "a frame each other line";
}

TEST_F(TracedDeadLettersTest, OneThatWasNotThrownHasThePlaceAloneWhereItWasRecorded) {
    send(bad_record);

    ASSERT_EQ(sink.letters().size(), 1u);
    const auto trace = sink.letters()[0].header("__connect.errors.exception.stacktrace").value();
    EXPECT_EQ(trace.find(" at\n"), std::string::npos) << trace;
}

} // namespace
} // namespace velostream
