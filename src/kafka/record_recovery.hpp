// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "velostream/base/error.hpp"
#include "velostream/base/units.hpp"
#include "velostream/core/recovery_ramp.hpp"
#include "velostream/kafka/circuit_gate.hpp"
#include "velostream/kafka/detail/record_loop.hpp"

namespace velostream::kafka::detail {

/// How a loop gets through an outage of what its handlers call: how many of them may run, and whose records are held
/// meanwhile. All on the loop's executor.
class RecordRecovery {
  public:
    using Worker = RecordLoop::Worker;

    RecordRecovery(CircuitGate circuit, std::size_t most, asio::any_io_executor executor)
        : circuit_(circuit), ramp_(most), executor_(std::move(executor)) {}
    RecordRecovery(const RecordRecovery&) = delete;
    RecordRecovery& operator=(const RecordRecovery&) = delete;
    ~RecordRecovery() { stop_watching(); }

    /// Once: whose `on_circuit_ready` is called when the circuit admits calls again.
    void serves(std::weak_ptr<RecordLoop> loop) {
        loop_ = std::move(loop);
        static_cast<void>(has_room()); // the circuit may be open from the beginning
    }

    /// Whether a handler may start on another record: those that are held have their turn before.
    bool admits() { return held_.empty() && has_room(); }
    void on_started() noexcept { ++running_; }
    void on_ended(bool well) noexcept;

    /// Whether a record is held whose handler failed so.
    static bool holds(const Error& error) noexcept;
    /// A handler has failed so, for the `tries`-th time with this record, from 0: how long its record rests before it
    /// waits for its turn.
    Duration hold(const Error& error, std::size_t tries);
    void wait_for_turn(std::uint64_t number, Worker& worker) { held_.emplace(number, &worker); }
    /// Whose turn it is now; null if it is nobody's. If `all`, whether he may or not.
    Worker* next(bool all);

    /// The breaker would admit a call.
    void on_ready() noexcept;
    void stop_watching() noexcept;
    void forget_all() noexcept { held_.clear(); }

  private:
    bool has_room();
    void watch();
    void watch_later();

    CircuitGate circuit_;
    RecoveryRamp ramp_;
    asio::any_io_executor executor_;
    std::weak_ptr<RecordLoop> loop_;
    std::map<std::uint64_t, Worker*> held_; // by when their records started
    std::size_t running_ = 0;
    bool is_shut_ = false;                                // until the breaker would admit a call
    std::shared_ptr<asio::cancellation_signal> watching_; // shared with the wait, whose slot it is
};

} // namespace velostream::kafka::detail
