// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "velostream/async/frame_memory.hpp"
#include "velostream/async/serial_executor.hpp"

namespace velostream::detail {

/// What runs on a strand for a coroutine that waits for its end. Every access to its members runs there, so that a
/// cancellation never meets what is just completing elsewhere.
///
/// Lifetime: belongs to what it runs, and has the caller while he waits: they go with their execution context together.
class StrandWork {
  public:
    /// `is_callers`: the caller's executor runs one thing after the other, and runs the caller at this moment.
    StrandWork(const asio::any_io_executor& executor, bool is_callers)
        : strand_(is_callers ? executor : serial_executor(executor)), is_callers_(is_callers) {}
    StrandWork(const StrandWork&) = delete;
    StrandWork& operator=(const StrandWork&) = delete;

    const asio::any_io_executor& strand() const noexcept { return strand_; }
    /// Whether who waits for it runs on the strand, too.
    bool is_callers() const noexcept { return is_callers_; }
    bool has_ended() const noexcept { return done_; }

    /// Before it has ended. From now on the caller belongs to whoever has this: not to himself.
    void wait(WaitingChain caller) { caller_.emplace(std::move(caller)); }

  protected:
    ~StrandWork() = default;

    /// On the strand, when it has ended; it `has_waited`: not since the caller began it, in this thread. A caller who
    /// does not wait yet sees by himself that it has.
    void finish(bool has_waited) {
        done_ = true;
        if (!caller_) return;
        WaitingChain caller{std::move(*caller_)};
        caller_.reset();
        if (is_callers_)
            caller();
        else if (has_waited)
            asio::dispatch(std::move(caller));
        else
            asio::post(std::move(caller)); // each call would take more of the stack
    }

  private:
    const asio::any_io_executor strand_; // runs one thing after the other
    const bool is_callers_;
    std::optional<WaitingChain> caller_;
    bool done_ = false;
};

/// Lets a coroutine wait for `Work`, which is a `StrandWork` that has `cancel(kind)`, in its own frame: the base of
/// what it awaits, which has
///
/// `make(executor, is_callers, is_cancelled)`  makes the work, `is_cancelled`: the caller has cancelled before.
/// `launch(work)`                              begins it, on the caller's executor, in his stack.
/// `launcher(work)`                            else: what begins it on the strand when it is called.
/// `fail(exception)`                           it could not begin.
template <class Derived, class Work>
class AwaitedOnStrand {
  public:
    AwaitedOnStrand(const AwaitedOnStrand&) = delete;
    AwaitedOnStrand& operator=(const AwaitedOnStrand&) = delete;

    bool begin(RunningChain& caller) {
        const auto executor = caller.get_executor();
        const bool is_callers = is_serial(executor);
        is_away_ = is_callers && !runs_here(executor); // its cancellation could come before the work's start
        return !is_away_ && start(caller, executor, is_callers);
    }
    template <class Detach>
    void wait(Detach detach) {
        if (is_away_)
            go_home(detach());
        else
            leave(detach());
    }

  protected:
    AwaitedOnStrand() = default;
    ~AwaitedOnStrand() = default;

  private:
    Derived& derived() noexcept { return static_cast<Derived&>(*this); }

    // True if the caller may go on: it has ended.
    bool start(RunningChain& caller, const asio::any_io_executor& executor, bool is_callers) {
        const auto state = caller.get_cancellation_state();
        const auto before = state.cancelled();
        work_ = derived().make(executor, is_callers, before != asio::cancellation_type::none);
        // Until the caller goes on, his own slot has no other use: what he awaits is bound to others.
        // Weak: whoever may cancel may also live longer than the execution context, and the strand must not.
        auto own = state.slot();
        if (own.is_connected())
            own.assign([weak = std::weak_ptr{work_}](asio::cancellation_type kind) {
                if (const auto alive = weak.lock()) alive->cancel(kind);
            });
        if (!is_callers) return false; // to be launched when he waits
        derived().launch(*work_);
        if (!work_->has_ended()) return false;
        work_.reset();
        own.clear();
        // Asio's entry point throws at the end of one who was cancelled and has never waited.
        return state.cancelled() == before;
    }
    void go_home(WaitingChain away) {
        const auto executor = away.get_executor();
        const auto before = away.get_cancellation_state().cancelled();
        asio::dispatch(executor, [this, before, executor, caller = std::move(away)]() mutable {
            bool goes_on = true;
            try {
                if (caller.get_cancellation_state().cancelled() != before)
                    throw boost::system::system_error{asio::error::operation_aborted};
                goes_on = start(caller, executor, true);
            } catch (...) {
                derived().fail(std::current_exception());
            }
            if (goes_on)
                caller();
            else
                leave(std::move(caller));
        });
    }
    // To the work, which the caller must not have then: this is in his frame.
    void leave(WaitingChain caller) {
        const auto work = std::exchange(work_, nullptr);
        if (!work) return asio::post(std::move(caller)); // it has ended
        if (work->is_callers()) return work->wait(std::move(caller));
        auto launcher = derived().launcher(work);
        work->wait(std::move(caller));
        asio::dispatch(work->strand(), std::move(launcher));
    }

    std::shared_ptr<Work> work_; // until the caller waits
    bool is_away_ = false;       // the caller, from his executor, when he began
};

} // namespace velostream::detail
