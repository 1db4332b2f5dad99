// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <cstddef>
#include <cstdint>

#include "velostream/async/deadline_wheel.hpp"
#include "velostream/base/units.hpp"
#include "velostream/kafka/producer.hpp"

namespace velostream::kafka::detail {

/// One send, from the call until its delivery report, even if its caller has long gone. Pooled.
struct alignas(64) SendOperation final : SendHandler, Deadline { // three cache lines: thousands are in flight
    explicit SendOperation(ProducerCore& owner);

    ProducerCore& core;
    Outgoing record; // valid while somebody waits for this operation
    asio::cancellation_slot call_slot;
    Bytes bytes = 0;
    std::uint64_t sequence = 0;   // the order of the calls
    std::uint64_t generation = 0; // counts the uses, so that a late cancellation finds that it came too late
    TimePoint started{};
    SendOperation* previous = nullptr; // in a queue
    SendOperation* next = nullptr;     // in a queue, or in the list of free ones
    enum class Place : std::uint8_t { outside, waiting, returned, handed_over } place = Place::outside;
};

/// Sends in the order of their turns.
class SendQueue {
  public:
    bool empty() const noexcept { return first_ == nullptr; }
    std::size_t size() const noexcept { return size_; }
    SendOperation& front() const noexcept { return *first_; }
    void push_back(SendOperation& operation) noexcept;
    void push_front(SendOperation& operation) noexcept;
    void erase(SendOperation& operation) noexcept;

  private:
    SendOperation* first_ = nullptr;
    SendOperation* last_ = nullptr;
    std::size_t size_ = 0;
};

} // namespace velostream::kafka::detail
