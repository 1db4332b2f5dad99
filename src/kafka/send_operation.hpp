// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "second_try.hpp"
#include "velostream/async/deadline_wheel.hpp"
#include "velostream/base/units.hpp"
#include "velostream/kafka/producer.hpp"

namespace velostream::kafka::detail {

struct SendOperation;

/// What a cancellation slot calls. It lies in the memory of its signal, and it and its operation know each other, so
/// that neither touches the other one once that has gone: a signal may end before its send, and a send before its
/// signal. It is small, since each lies in a memory of its own that no cache holds when the report comes.
class SendCancellation {
  public:
    explicit SendCancellation(SendOperation& operation) noexcept : operation_(&operation) {}
    SendCancellation(const SendCancellation&) = delete;
    SendCancellation& operator=(const SendCancellation&) = delete;
    ~SendCancellation() { forget(); }

    void operator()(asio::cancellation_type);

    /// Stays in its slot, and does nothing any more.
    void forget() noexcept;

  private:
    SendOperation* operation_; // null once forgotten
};

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

    void watch_caller() {
        is_cancellable = true;
        by_caller = &asio::cancellation_slot{slot()}.emplace<SendCancellation>(*this);
    }
    void watch_call(asio::cancellation_slot slot_of_call) {
        is_cancellable = true;
        call_slot = slot_of_call;
        by_call = &call_slot.emplace<SendCancellation>(*this);
    }
    /// Nothing of this operation is in a slot any more, except in one that is just being emitted.
    void clear_slots() noexcept {
        if (!std::exchange(is_cancellable, false)) return;
        if (by_caller) asio::cancellation_slot{slot()}.clear();
        if (by_call) call_slot.clear();
    }
    /// The same without touching a slot.
    void forget_slots() noexcept {
        if (by_caller) by_caller->forget();
        if (by_call) by_call->forget();
    }

    Place place = Place::outside;
    bool is_cancellable = false; // was put into a cancellation slot
    SecondTries second_tries;    // after its batch was refused
    Bytes bytes = 0;
    SendOperation* next = nullptr;         // in a queue, or in the list of free ones
    SendCancellation* by_caller = nullptr; // in the slot of the handler

    ProducerCore& core;
    Outgoing record;                     // valid while somebody waits for this operation
    SendCancellation* by_call = nullptr; // in `call_slot`, that of the call's context
    asio::cancellation_slot call_slot;
    std::uint64_t sequence = 0; // the order of the calls
    TimePoint started{};
    SendOperation* previous = nullptr; // in a queue
};

inline void SendCancellation::forget() noexcept {
    auto* const operation = std::exchange(operation_, nullptr);
    if (operation) (operation->by_caller == this ? operation->by_caller : operation->by_call) = nullptr;
}

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
