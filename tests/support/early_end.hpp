// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <optional>

#include "support/run_coroutine.hpp"
#include "velostream/async/operation.hpp"

namespace velostream::testing {

// How a call ends before it is done: its caller cancels it, its context ends, or its deadline comes.
enum class EarlyEnd {
    terminal,
    partial,
    total,
    terminal_before_deadline,
    destroyed,
    destroyed_before_deadline,
    deadline
};

inline constexpr EarlyEnd early_ends[] = {EarlyEnd::terminal,  EarlyEnd::partial,
                                          EarlyEnd::total,     EarlyEnd::terminal_before_deadline,
                                          EarlyEnd::destroyed, EarlyEnd::destroyed_before_deadline,
                                          EarlyEnd::deadline};

inline constexpr Duration early_end_deadline = std::chrono::seconds{60};

// What the call is started with.
inline CallOptions options_for(EarlyEnd how, const ManualTime& time) {
    const bool has_deadline = how == EarlyEnd::terminal_before_deadline || how == EarlyEnd::destroyed_before_deadline ||
                              how == EarlyEnd::deadline;
    return has_deadline ? CallOptions{.deadline = time.now() + early_end_deadline} : CallOptions{};
}

// Ends a call that is somewhere in the middle. `at_deadline` is what its error must be where the deadline ends it.
template <class T>
void end_early(EarlyEnd how, const Started<Result<T>>& call, std::optional<asio::io_context>& io, ManualTime time,
               Errc at_deadline = Errc::deadline_exceeded) {
    ASSERT_FALSE(call.ended());
    switch (how) {
        case EarlyEnd::destroyed:
        case EarlyEnd::destroyed_before_deadline:
            io.reset();
            EXPECT_FALSE(call.ended());
            return;
        case EarlyEnd::deadline:
            time.run_for(*io, early_end_deadline);
            ASSERT_TRUE(call.ended());
            EXPECT_EQ(call.value().error(), at_deadline);
            return;
        case EarlyEnd::partial:
            call.cancel(asio::cancellation_type::partial);
            break;
        case EarlyEnd::total:
            call.cancel(asio::cancellation_type::total);
            break;
        case EarlyEnd::terminal:
        case EarlyEnd::terminal_before_deadline:
            call.cancel(asio::cancellation_type::terminal);
            break;
    }
    io->restart();
    io->poll();
    ASSERT_TRUE(call.ended());
    EXPECT_EQ(call.value().error(), ErrorType::cancelled);
}

} // namespace velostream::testing
