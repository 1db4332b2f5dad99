// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/current_observer.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <utility>

namespace velostream {
namespace {

struct Nothing final : Observer {};

class CurrentObserverTest : public ::testing::Test {
  protected:
    // Whom it tells, unless it tells nobody.
    Observer* told() const {
        Observer* observer = nullptr;
        current.tell([&](Observer& one) { observer = &one; });
        return observer;
    }

    void set(std::shared_ptr<Observer> observer) {
        const auto replaced = current.locked_set(std::move(observer));
        for (const auto& one : replaced) {
            EXPECT_TRUE(!one || one.get() != told());
        }
    }

    std::shared_ptr<Observer> first = std::make_shared<Nothing>(), second = std::make_shared<Nothing>();
    CurrentObserver current{first};
};

TEST_F(CurrentObserverTest, TellsTheOneThatWasSetLast) {
    EXPECT_EQ(told(), first.get());
    set(second);
    EXPECT_EQ(told(), second.get());
    set(nullptr);
    EXPECT_EQ(told(), nullptr);
    set(first);
    EXPECT_EQ(told(), first.get());
}

TEST_F(CurrentObserverTest, LetsGoOfTheOneBefore) {
    for (int i = 0; i < 1000; ++i) set(i % 2 == 0 ? second : first);
    EXPECT_EQ(first.use_count(), 2);
    EXPECT_EQ(second.use_count(), 1);

    set(nullptr);
    EXPECT_EQ(first.use_count(), 1);
}

TEST_F(CurrentObserverTest, KeepsOneThatIsBeingToldUntilTheNextIsSet) {
    current.tell([&](Observer& one) {
        set(second);
        std::thread{[&] { set(nullptr); }}.join();
        EXPECT_EQ(&one, first.get());
        EXPECT_EQ(first.use_count(), 2);
        EXPECT_EQ(second.use_count(), 2);
    });
    EXPECT_EQ(first.use_count(), 2);

    set(nullptr);

    EXPECT_EQ(first.use_count(), 1);
    EXPECT_EQ(second.use_count(), 1);
}

} // namespace
} // namespace velostream
