// SPDX-License-Identifier: Apache-2.0
// What only the gate itself can show; `CircuitBreaker::async_ready` is tested with the circuit breaker.
#include "velostream/async/ready_gate.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

class Gate final : public ReadyGate<testing::ManualTime> {
  public:
    using ReadyGate::ReadyGate;

    std::uint32_t room = 0;
    mutable std::function<void()> when_asked; // what happens elsewhere while the gate looks for room, once

  private:
    std::uint32_t admissible(TimePoint) const override {
        if (const auto happens = std::exchange(when_asked, nullptr)) happens();
        return room;
    }
    std::optional<TimePoint> next_change(TimePoint) const override { return std::nullopt; }
    void settle(TimePoint) override {}
};

TEST(ReadyGate, AnInvitationIsTakenBackIfItsWaiterGivesUpAtThatMoment) {
    asio::io_context io;
    const auto gate = std::make_shared<Gate>(testing::ManualTime{}, 1s);
    std::vector<int> ready, aborted;
    const auto waiter = [&](int name) {
        return asio::bind_executor(
            io.get_executor(), [&, name](boost::system::error_code code) { (code ? aborted : ready).push_back(name); });
    };
    asio::cancellation_signal cancel;
    gate->async_ready(asio::bind_cancellation_slot(cancel.slot(), waiter(1)));
    gate->room = 1;
    gate->when_asked = [&] { cancel.emit(asio::cancellation_type::terminal); };

    gate->update();
    gate->async_ready(waiter(2));
    io.poll();

    EXPECT_EQ(aborted, std::vector{1});
    EXPECT_EQ(ready, std::vector{2});
    gate->close();
}

} // namespace
} // namespace velostream
