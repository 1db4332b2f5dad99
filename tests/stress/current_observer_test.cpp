// SPDX-License-Identifier: Apache-2.0
// Observers that are replaced while several threads tell them something.
#include "velostream/core/current_observer.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "support/in_threads.hpp"

namespace velostream {
namespace {

struct Watched final : Observer {
    explicit Watched(std::atomic<int>& observers) : alive(observers) { ++alive; }
    ~Watched() override {
        words = 0;
        --alive;
    }
    std::atomic<int>& alive;
    std::atomic<int> words{1}; // 0 once it has ended
};

TEST(CurrentObserverUnderThreads, NobodyIsToldAfterHisEndAndNoneIsKept) {
    constexpr int tellers = 3, replacers = 2, replacements = 5000;
    std::atomic<int> alive{0}, at_work{replacers}, told_too_late{0};
    std::mutex mutex;
    CurrentObserver current{std::make_shared<Watched>(alive)};
    const auto replace = [&](std::shared_ptr<Observer> by) {
        std::vector<std::shared_ptr<Observer>> replaced; // end without the mutex
        const std::lock_guard lock{mutex};
        replaced = current.locked_set(std::move(by));
    };

    testing::in_threads(tellers + replacers, [&](int number) {
        if (number < replacers) {
            for (int i = 0; i < replacements; ++i) replace(i % 8 == 0 ? nullptr : std::make_shared<Watched>(alive));
            --at_work;
            return;
        }
        while (at_work > 0) {
            current.tell([&](Observer& observer) {
                auto& watched = static_cast<Watched&>(observer);
                if (watched.words++ == 0) ++told_too_late;
            });
            if (number % 2 == 0) std::this_thread::yield();
        }
    });
    replace(std::make_shared<Watched>(alive));

    EXPECT_EQ(told_too_late, 0);
    EXPECT_EQ(alive, 1);
}

} // namespace
} // namespace velostream
