// SPDX-License-Identifier: Apache-2.0
#include "tied_alarm.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <functional>
#include <new>
#include <optional>
#include <utility>

namespace velostream {
namespace {

class TiedAlarmTest : public ::testing::Test {
  protected:
    bool set() { return alarm.set(TimePoint::min()); }

    // What setting it does: another thread may be so quick.
    std::function<void(Alarm::OnEnd)> on_set = [](const Alarm::OnEnd&) {};
    int settings = 0, rings = 0;
    std::optional<asio::io_context> io{std::in_place};
    TiedAlarm alarm{io->get_executor(),
                    [this](Alarm&, const asio::any_io_executor&, TimePoint, Alarm::OnEnd on_end) {
                        ++settings;
                        on_set(std::move(on_end));
                    },
                    [this] { ++rings; }};
};

TEST_F(TiedAlarmTest, IsSetOnceUntilItRings) {
    Alarm::OnEnd end;
    on_set = [&](Alarm::OnEnd on_end) { end = std::move(on_end); };
    EXPECT_TRUE(set() && set());
    EXPECT_EQ(settings, 1);
    EXPECT_TRUE(alarm.is_set());

    end(AlarmEnd::rang);

    EXPECT_EQ(rings, 1);
    EXPECT_FALSE(alarm.is_set());
    EXPECT_TRUE(set());
    EXPECT_EQ(settings, 2);
}

TEST_F(TiedAlarmTest, ThatRingsBeforeItIsSetCanBeSetAgain) {
    on_set = [](const Alarm::OnEnd& end) { end(AlarmEnd::rang); };

    EXPECT_TRUE(set());

    EXPECT_EQ(rings, 1);
    EXPECT_FALSE(alarm.is_set());
    EXPECT_TRUE(set());
    EXPECT_EQ(rings, 2);
}

TEST_F(TiedAlarmTest, ThatFoundNoMemoryOrNoContextIsNotSet) {
    on_set = [](const Alarm::OnEnd&) { throw std::bad_alloc{}; };
    EXPECT_FALSE(set());
    EXPECT_FALSE(alarm.is_set());
    on_set = [](const Alarm::OnEnd&) {};
    EXPECT_TRUE(set());

    alarm.stop();
    io.reset();

    EXPECT_FALSE(set());
    EXPECT_FALSE(alarm.is_set());
}

TEST_F(TiedAlarmTest, OneThatRingsLateDoesNotEndTheNext) {
    Alarm::OnEnd first;
    on_set = [&](Alarm::OnEnd on_end) { first = std::move(on_end); };
    EXPECT_TRUE(set());
    alarm.stop();
    on_set = [](const Alarm::OnEnd&) {};
    EXPECT_TRUE(set());

    first(AlarmEnd::rang);

    EXPECT_TRUE(alarm.is_set());
}

} // namespace
} // namespace velostream
