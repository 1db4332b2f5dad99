// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/recycling_allocator.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <utility>

#include "velostream/async/call_context.hpp"
#include "velostream/async/lent_slot.hpp"
#include "velostream/async/shared_deadline.hpp"
#include "velostream/async/time_source.hpp"

namespace velostream::detail {

/// Rings once on an executor at some time, unless it is disarmed before.
///
/// Threads: on its executor, one at a time.
template <TimeSource Time>
class CallAlarm {
  public:
    using Ring = void (*)(void* whose);

    CallAlarm(Ring ring, void* whose) noexcept : ring_(ring), whose_(whose) {}
    CallAlarm(const CallAlarm&) = delete;
    CallAlarm& operator=(const CallAlarm&) = delete;
    ~CallAlarm() { disarm(); }

    void arm(Time time, const asio::any_io_executor& executor, TimePoint at) {
        disarm();
        auto sleep = std::make_shared<Sleep>(*this);
        time.sleep_until(
            executor, at,
            asio::bind_executor(executor, asio::bind_cancellation_slot(sleep->signal.slot(), Wake{sleep})));
        sleep_ = std::move(sleep);
    }
    void disarm() noexcept {
        const auto sleep = std::exchange(sleep_, nullptr);
        if (!sleep) return;
        sleep->alarm = nullptr;
        sleep->signal.emit(asio::cancellation_type::terminal);
    }

  private:
    struct Sleep {
        explicit Sleep(CallAlarm& armed) noexcept : alarm(&armed) {}
        CallAlarm* alarm; // null once it has rung or is disarmed
        asio::cancellation_signal signal;
    };

    // Whoever sleeps is cancelled no more once this has gone, as with its execution context.
    class Wake {
      public:
        explicit Wake(std::shared_ptr<Sleep> sleep) noexcept : sleep_(std::move(sleep)) {}
        Wake(Wake&&) noexcept = default;
        Wake& operator=(Wake&&) = delete;
        ~Wake() {
            if (sleep_) end();
        }
        void operator()(boost::system::error_code code) {
            auto* const alarm = end();
            if (alarm && !code) alarm->ring_(alarm->whose_);
        }

      private:
        CallAlarm* end() noexcept {
            auto* const alarm = std::exchange(sleep_->alarm, nullptr);
            if (alarm) alarm->sleep_.reset(); // else it was disarmed
            return alarm;
        }

        std::shared_ptr<Sleep> sleep_; // null after a move
    };

    const Ring ring_;
    void* const whose_;
    std::shared_ptr<Sleep> sleep_;
};

/// By the machine's clock: all calls of an execution context share one timer.
template <>
class CallAlarm<SteadyTime> : private SharedDeadline {
  public:
    using Ring = void (*)(void* whose);

    CallAlarm(Ring ring, void* whose) noexcept : SharedDeadline(&on_ring), ring_(ring), whose_(whose) {}

    void arm(const SteadyTime&, const asio::any_io_executor& executor, TimePoint at) {
        SharedDeadline::arm(executor, at);
    }
    using SharedDeadline::disarm;

  private:
    static void on_ring(SharedDeadline& deadline) {
        auto& alarm = static_cast<CallAlarm&>(deadline);
        alarm.ring_(alarm.whose_);
    }

    const Ring ring_;
    void* const whose_;
};

/// What the cancellation slot of a `CallContext` with a deadline is connected to: the caller, and the deadline.
///
/// Lifetime: as long as the frame of the call. Either of it and the caller's signal may go first.
template <TimeSource Time>
class CallCancellation {
  public:
    CallCancellation(Time time, asio::any_io_executor executor, const asio::cancellation_state& caller,
                     CoroutineChain& chain)
        : time_(std::move(time)), executor_(std::move(executor)), caller_(caller), lent_(chain) {}
    CallCancellation(const CallCancellation&) = delete;
    CallCancellation& operator=(const CallCancellation&) = delete;
    ~CallCancellation() { let_go(); }

    asio::cancellation_slot slot(TimePoint deadline) {
        // Each time anew: what the operation awaited meanwhile may have taken the caller's slot for itself, or have
        // taken away the one that it was lent.
        auto caller = caller_.slot().is_connected() ? caller_.slot() : lent_.slot();
        if (!forwarder_) caller.emplace<Forwarder>(*this);
        if (!is_armed_) {
            alarm_.arm(time_, executor_, deadline);
            is_armed_ = true;
        }
        return signal_.slot();
    }

    /// The try has ended. True if the deadline cancelled it, before the caller did.
    bool finish() noexcept {
        if (std::exchange(is_armed_, false)) alarm_.disarm();
        let_go();
        signal_.slot().clear();
        lent_.take_back();
        return std::exchange(has_timed_out_, false);
    }

  private:
    // In the caller's slot, or the lent one. Asio takes it out when what was awaited has ended; but in the other slot
    // it leaves what may be gone by the time it would be cancelled.
    struct Forwarder {
        explicit Forwarder(CallCancellation& cancellation) noexcept : to(&cancellation) { to->forwarder_ = this; }
        Forwarder(const Forwarder&) = delete;
        Forwarder& operator=(const Forwarder&) = delete;
        ~Forwarder() {
            if (!to) return;
            to->forwarder_ = nullptr;
            to->signal_.slot().clear();
        }
        void operator()(asio::cancellation_type kind) const {
            if (to) to->signal_.emit(kind);
        }

        CallCancellation* to; // null once the try has ended
    };

    void let_go() noexcept {
        if (const auto forwarder = std::exchange(forwarder_, nullptr)) forwarder->to = nullptr;
    }

    static void expire(void* self) {
        auto& cancellation = *static_cast<CallCancellation*>(self);
        cancellation.is_armed_ = false; // and armed again for what the operation awaits next
        // Also where the caller was first: the operation may not have listened to him.
        if (cancellation.caller_.cancelled() == asio::cancellation_type::none) cancellation.has_timed_out_ = true;
        cancellation.signal_.emit(asio::cancellation_type::terminal);
    }

    const Time time_;
    const asio::any_io_executor executor_;
    const asio::cancellation_state caller_;
    LentSlot lent_; // where nobody can cancel the caller, who has no slot then
    asio::cancellation_signal signal_;
    CallAlarm<Time> alarm_{&expire, this};
    Forwarder* forwarder_ = nullptr; // while it is in the caller's slot and of use
    bool is_armed_ = false;
    bool has_timed_out_ = false;
};

/// Makes it when the operation asks for the slot, which most never do.
///
/// Lifetime: as that of what it makes.
template <TimeSource Time>
class CancellationOnDemand final : public CallContext::Cancellation {
    using Cancellation = CallCancellation<Time>;

  public:
    CancellationOnDemand(Time time, const asio::cancellation_state& caller, CoroutineChain& chain) noexcept
        : time_(std::move(time)), caller_(caller), chain_(chain) {}
    CancellationOnDemand(const CancellationOnDemand&) = delete;
    CancellationOnDemand& operator=(const CancellationOnDemand&) = delete;

    asio::cancellation_slot slot(TimePoint deadline) override {
        if (!made_)
            made_ = std::allocate_shared<Cancellation>(asio::recycling_allocator<Cancellation>{}, time_,
                                                       executor_of(chain_), caller_, chain_);
        return made_->slot(deadline);
    }

    /// The try has ended. True if the deadline cancelled it, before the caller did.
    bool finish() noexcept { return made_ && made_->finish(); }

  private:
    [[no_unique_address]] const Time time_;
    const asio::cancellation_state caller_;
    CoroutineChain& chain_;
    std::shared_ptr<Cancellation> made_;
};

} // namespace velostream::detail
