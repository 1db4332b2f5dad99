// SPDX-License-Identifier: Apache-2.0
#include "postgres/aside.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <future>
#include <stdexcept>
#include <vector>

#include "support/run_coroutine.hpp"

namespace velostream::postgres {
namespace {

using Number = Aside<int>;

asio::awaitable<int> answer_to(std::shared_ptr<Number> question) {
    auto answering = Number::answer(own_frame, std::move(question));
    auto answer = co_await std::move(answering);
    co_return answer ? *answer : -1;
}

TEST(Aside, AnAnswerComesWhetherItIsEarlyOrLate) {
    asio::io_context io;
    std::promise<void> go_on;
    const auto late = Number::ask([&] {
        go_on.get_future().wait();
        return Result<int>{7};
    });
    const auto started = testing::start(io, answer_to(late));
    EXPECT_FALSE(started.ended());
    go_on.set_value();
    io.restart();
    while (!started.ended()) io.run_one();
    EXPECT_EQ(started.value(), 7);

    const auto early = testing::start(io, answer_to(late));
    EXPECT_EQ(early.value(), 7);
}

TEST(Aside, WhatAQuestionThrowsIsItsAnswer) {
    asio::io_context io;
    const auto thrown = Number::ask([]() -> Result<int> { throw std::runtime_error{"no"}; });
    const auto started = testing::start(io, answer_to(thrown));
    io.restart();
    while (!started.ended()) io.run_one();
    EXPECT_EQ(started.value(), -1);
}

TEST(Aside, WhoIsCancelledLeavesAndTheQuestionGoesOn) {
    asio::io_context io;
    std::promise<void> go_on, is_over;
    const auto slow = Number::ask([&] {
        go_on.get_future().wait();
        is_over.set_value();
        return Result<int>{1};
    });
    const auto started = testing::start(io, answer_to(slow));
    started.cancel(asio::cancellation_type::terminal);
    io.restart();
    io.poll();
    EXPECT_ANY_THROW(started.value());
    go_on.set_value();
    is_over.get_future().wait();
}

TEST(Aside, OneTooManyIsRefusedAtOnceAndThereIsRoomAgainAfterwards) {
    std::promise<void> go_on;
    const auto gate = go_on.get_future().share();
    std::vector<std::future<void>> ended;
    for (int i = 0; i < most_threads_aside; ++i) {
        const auto over = std::make_shared<std::promise<void>>();
        ended.push_back(over->get_future());
        const auto work = [gate, over] {
            gate.wait();
            over->set_value();
        };
        while (!run_aside(work)) {
        } // those of other tests are counted a moment longer than their work lasts
    }
    EXPECT_FALSE(run_aside([] {}));
    asio::io_context io;
    const auto refused = testing::start(io, answer_to(Number::ask([] { return Result<int>{1}; })));
    EXPECT_EQ(refused.value(), -1);
    go_on.set_value();
    for (auto& each : ended) each.wait();
    bool is_there_room = false;
    while (!is_there_room) is_there_room = run_aside([] {}); // as above
}

} // namespace
} // namespace velostream::postgres
