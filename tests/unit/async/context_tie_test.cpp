// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/context_tie.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <optional>

namespace velostream {
namespace {

TEST(ContextTie, GivesTheExecutorWhileTheContextIsThere) {
    asio::io_context context;
    ContextTie tie{context.get_executor()};
    bool ran = false;

    EXPECT_TRUE(tie.with_executor([&ran](const auto& executor) { asio::post(executor, [&ran] { ran = true; }); }));
    context.poll();

    EXPECT_TRUE(ran);
}

TEST(ContextTie, GivesNothingAfterTheContextHasEnded) {
    std::optional<asio::io_context> context{std::in_place};
    ContextTie tie{asio::make_strand(*context)};

    context.reset();

    EXPECT_FALSE(tie.with_executor([](const auto&) { FAIL(); }));
}

TEST(ContextTie, MayEndBeforeItsContext) {
    asio::io_context context;
    bool was_there = false;
    {
        ContextTie tie{context.get_executor()};
        was_there = tie.with_executor([](const auto&) {});
    }
    EXPECT_TRUE(was_there);
}

} // namespace
} // namespace velostream
