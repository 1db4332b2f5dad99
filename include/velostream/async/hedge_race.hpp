// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "velostream/async/call_cancellation.hpp"
#include "velostream/async/frame_memory.hpp"
#include "velostream/async/serial_executor.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/base/error.hpp"

namespace velostream::detail {

/// Decides about the attempts of a race.
class HedgeJudge {
  public:
    static constexpr std::uint32_t most_hedges = 8;

    /// How long the attempts so far may take before hedge `number`, from 1, is due; nothing if there is no such.
    virtual std::optional<Duration> delay_before(std::uint32_t number) const = 0;
    /// Whether a failed attempt is reason to start the next one at once.
    virtual bool goes_on_after(const Error& error) const = 0;
    /// Asked just before a hedge is started. False: there will be no more in this race.
    virtual bool may_start() = 0;

  protected:
    ~HedgeJudge() = default;
};

/// The attempts of one hedged call. The first success wins and cancels the others; the race ends when all have ended.
///
/// All of it runs one thing after the other: attempts wait at the same time, but never run at the same moment.
///
/// Lifetime: belongs to its attempts, and has the handler of the call: it goes with its execution context, as they do.
template <class Success, TimeSource Time, class Start>
class HedgeRace : public std::enable_shared_from_this<HedgeRace<Success, Time, Start>> {
  public:
    /// `start()` makes the coroutine of an attempt; none begins once `deadline` has passed. `cancelled`: the caller has
    /// cancelled before, and goes on. `judge` and `start` must live until the race has ended.
    HedgeRace(const asio::any_io_executor& executor, Time time, TimePoint deadline, bool cancelled, HedgeJudge& judge,
              Start& start)
        : strand_(serial_executor(executor)),
          time_(std::move(time)),
          deadline_(deadline),
          judge_(judge),
          start_(start),
          is_callers_end_(cancelled) {}
    HedgeRace(const HedgeRace&) = delete;
    HedgeRace& operator=(const HedgeRace&) = delete;

    /// What the race came to.
    struct Outcome {
        Success result;                      ///< the winner's, else what the first attempt failed with
        std::optional<std::uint32_t> winner; ///< its number, 0 for the first attempt; nothing if all failed
        bool is_callers_end = false;         ///< all failed, one of them because the caller cancelled, or he was first
    };

    /// Once. `ended(Outcome)` is called through its executor.
    template <class Ended>
    void begin(Ended&& ended) {
        executor_ = asio::prefer(asio::any_io_executor{asio::get_associated_executor(ended, strand_)},
                                 asio::execution::outstanding_work.tracked);
        // The handler that forgets its type would take the slot for itself.
        ended_.emplace(asio::bind_cancellation_slot(asio::cancellation_slot{}, std::forward<Ended>(ended)));
        asio::dispatch(strand_, [self = this->shared_from_this()] { self->start_first(); });
    }

    /// From any thread: the caller cancels.
    void cancel(asio::cancellation_type kind) {
        asio::dispatch(strand_, [self = this->shared_from_this(), kind] {
            self->is_cancelled_ = true;
            self->end_all(kind);
        });
    }

  private:
    static constexpr std::size_t most_attempts = HedgeJudge::most_hedges + 1;

    // All of these on the strand.
    void start_first() {
        if (is_over_) return finish(); // cancelled before it began
        start_attempt();
    }
    void start_attempt() {
        const auto number = started_++;
        ++running_;
        set_alarm(); // first: whatever the attempt does, the next one is due then
        std::optional<RunningChain> chain;
        try {
            const auto slot = signals_[number].slot();
            chain.emplace(run_attempt(own_frame, this->shared_from_this(), number), strand_, slot,
                          asio::cancellation_state{slot, asio::enable_total_cancellation()});
        } catch (...) {
            results_[number].emplace(Error::from_exception(std::current_exception()));
            return attempt_ended(number);
        }
        chain->launch();
    }
    static asio::awaitable<ChainEntry> run_attempt(OwnFrame, std::shared_ptr<HedgeRace> self, std::uint32_t number) {
        try {
            auto running = self->start_();
            self->results_[number].emplace(co_await std::move(running));
        } catch (...) {
            self->results_[number].emplace(Error::from_exception(std::current_exception()));
        }
        if (!runs_here(self->strand_)) { // the attempt may have gone elsewhere
            co_await asio::this_coro::throw_if_cancelled(false);
            auto back = asio::dispatch(asio::deferred);
            co_await std::move(back);
        }
        self->attempt_ended(number);
    }
    void attempt_ended(std::uint32_t number) {
        --running_;
        const auto& result = results_[number];
        // One that ended so before the caller cancelled did so by itself.
        if (is_cancelled_ && result && result->has_error() && result->error() == ErrorType::cancelled)
            is_callers_end_ = true;
        if (!winner_ && result && result->has_value()) { // also if the caller has cancelled
            winner_ = number;
            end_all(asio::cancellation_type::terminal);
        } else if (result && judge_.goes_on_after(result->error())) {
            start_next();
        }
        if (running_ == 0) finish();
    }
    void start_next() {
        if (is_over_ || !has_hedges_ || !judge_.delay_before(started_) || time_.now() >= deadline_) return;
        if (judge_.may_start())
            start_attempt();
        else
            has_hedges_ = false;
    }
    void set_alarm() {
        const auto delay = has_hedges_ ? judge_.delay_before(started_) : std::nullopt;
        if (!delay) return;
        try {
            alarm_.arm(time_, strand_, saturating_add(time_.now(), *delay));
        } catch (...) { // no memory: without another attempt
            has_hedges_ = false;
        }
    }
    void end_all(asio::cancellation_type kind) {
        is_over_ = true;
        alarm_.disarm();
        for (std::uint32_t number = 0; number < started_; ++number) {
            if (number != winner_) signals_[number].emit(kind);
        }
    }
    void finish() {
        is_over_ = true;
        alarm_.disarm();
        if (!ended_) return;
        auto& result = results_[winner_.value_or(0)];
        Outcome outcome{result ? std::move(*result) : Success{Error{Errc::cancelled}}, winner_,
                        !winner_ && is_callers_end_};
        auto ended = std::exchange(ended_, std::nullopt);
        asio::post(std::exchange(executor_, {}), [ended = std::move(*ended), outcome = std::move(outcome)]() mutable {
            std::move(ended)(std::move(outcome));
        });
    }

    const asio::any_io_executor strand_; // runs one thing after the other
    const Time time_;
    const TimePoint deadline_;
    HedgeJudge& judge_;
    Start& start_;
    asio::any_io_executor executor_; // of the call
    std::optional<asio::any_completion_handler<void(Outcome)>> ended_;

    std::array<std::optional<Success>, most_attempts> results_;
    std::array<asio::cancellation_signal, most_attempts> signals_;
    std::uint32_t started_ = 0;
    std::uint32_t running_ = 0;
    std::optional<std::uint32_t> winner_;
    bool is_over_ = false;      // nothing more is started
    bool has_hedges_ = true;    // nobody has said that there will be no more
    bool is_cancelled_ = false; // by the caller, since the race began
    bool is_callers_end_;       // what fails, fails because of the caller
    CallAlarm<Time> alarm_{[](void* self) { static_cast<HedgeRace*>(self)->start_next(); }, this};
};

} // namespace velostream::detail
