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
///
/// Thousands are in flight, so few of them are in the processor's cache: what a report touches lies in the first two
/// cache lines, what only the beginning and a failure need in the third.
struct alignas(64) SendOperation final : SendHandler, Deadline {
    enum class Place : std::uint8_t { outside, waiting, returned, handed_over };

    explicit SendOperation(ProducerCore& owner);

    /// Begins to fetch what a report writes to.
    void fetch_for_writing() noexcept {
        constexpr std::ptrdiff_t cache_line = 64;
        __builtin_prefetch(this, 1);
        __builtin_prefetch(reinterpret_cast<std::byte*>(this) + cache_line, 1);
    }

    Place place = Place::outside;
    bool is_cancellable = false; // has something in a cancellation slot
    Bytes bytes = 0;
    SendOperation* next = nullptr; // in a queue, or in the list of free ones
    ProducerCore& core;

    Outgoing record; // valid while somebody waits for this operation
    asio::cancellation_slot call_slot;
    std::uint64_t sequence = 0;   // the order of the calls
    std::uint64_t generation = 0; // counts the uses, so that a late cancellation finds that it came too late
    TimePoint started{};
    SendOperation* previous = nullptr; // in a queue
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
