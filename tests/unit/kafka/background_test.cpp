// SPDX-License-Identifier: Apache-2.0
#include "kafka/background.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <future>

namespace velostream::kafka {
namespace {

TEST(BackgroundTest, TakesNoSignals) {
    std::promise<int> member;
    run_in_background([&member] {
        sigset_t blocked{};
        pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
        member.set_value(sigismember(&blocked, SIGTERM));
    });
    EXPECT_EQ(member.get_future().get(), 1);
    sigset_t ours{};
    pthread_sigmask(SIG_SETMASK, nullptr, &ours);
    EXPECT_EQ(sigismember(&ours, SIGTERM), 0);
}

} // namespace
} // namespace velostream::kafka
