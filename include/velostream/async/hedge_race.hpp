// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/dispatch.hpp>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "velostream/async/call_cancellation.hpp"
#include "velostream/async/chain_signal.hpp"
#include "velostream/async/frame_memory.hpp"
#include "velostream/async/serial_executor.hpp"
#include "velostream/async/strand_work.hpp"
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

/// What a race came to, in the frame of who waits for it.
template <class Success>
struct HedgeOutcome {
    std::optional<Success> result;       ///< the winner's, else what the first attempt failed with
    std::optional<std::uint32_t> winner; ///< its number, 0 for the first attempt; nothing if all failed
    bool is_callers_end = false;         ///< all failed, one of them because the caller cancelled, or he was first
};

/// The end of an attempt, for the coroutine that is the attempt: it keeps the answer until the race takes it.
template <class Race>
class AttemptEnd {
  public:
    template <class>
    using Returned = ChainEntry;

    AttemptEnd(std::shared_ptr<Race> race, std::uint32_t number) noexcept : race_(std::move(race)), number_(number) {}

    template <class Answer>
    void operator()(Answer&& answer) {
        answer_.emplace(std::forward<Answer>(answer));
    }
    void threw(std::exception_ptr exception) noexcept { answer_.emplace(Error::from_exception(std::move(exception))); }
    void ended(bool has_waited) {
        if (!has_waited || runs_here(race_->strand())) return race_->attempt_ended(number_, std::move(*answer_));
        // The attempt has gone elsewhere.
        asio::dispatch(race_->strand(), [race = race_, number = number_, answer = std::move(*answer_)]() mutable {
            race->attempt_ended(number, std::move(answer));
        });
    }

  private:
    std::shared_ptr<Race> race_;
    std::uint32_t number_;
    std::optional<typename Race::Answer> answer_;
};

/// The attempts of one hedged call. The first success wins and cancels the others; the race ends when all have ended.
/// The answer goes to who waits for it at once; the race keeps none.
///
/// All of it runs one thing after the other: attempts wait at the same time, but never run at the same moment.
///
/// Lifetime: belongs to its attempts, and has who waits for it: it goes with its execution context, as they do.
template <class Success, TimeSource Time, class Start>
class HedgeRace : public StrandWork, public std::enable_shared_from_this<HedgeRace<Success, Time, Start>> {
  public:
    using Answer = Success;
    using Outcome = HedgeOutcome<Success>;

    /// What must live until the race has ended, in the frame of who waits for it.
    struct Course {
        Time time;
        TimePoint deadline; ///< no attempt begins once it has passed
        HedgeJudge& judge;
        Start& start; ///< `start(AttemptEnd)` makes the coroutine of an attempt
        Outcome& outcome;
    };

    /// `cancelled`: the caller has cancelled before, and goes on.
    HedgeRace(const asio::any_io_executor& executor, bool is_callers, bool cancelled, const Course& course)
        : StrandWork(executor, is_callers), course_(course), is_callers_end_(cancelled) {}

    /// Once, on the strand.
    void begin() {
        if (is_over_) return finish(); // cancelled before it began
        is_beginning_ = true;
        start_attempt();
        is_beginning_ = false;
    }

    /// From any thread: the caller cancels.
    void cancel(asio::cancellation_type kind) {
        asio::dispatch(strand(), [self = this->shared_from_this(), kind] {
            if (self->has_ended()) return;
            self->is_cancelled_ = true;
            self->end_all(kind);
        });
    }

    /// On the strand, when one has ended.
    void attempt_ended(std::uint32_t number, Success&& answer) {
        --running_;
        // One that ended so before the caller cancelled did so by itself.
        if (is_cancelled_ && answer.has_error() && answer.error() == ErrorType::cancelled) is_callers_end_ = true;
        if (!course_.outcome.winner && answer.has_value()) { // also if the caller has cancelled
            course_.outcome.winner = number;
            keep(std::move(answer));
            end_all(asio::cancellation_type::terminal);
        } else if (answer.has_error()) {
            const bool goes_on = course_.judge.goes_on_after(answer.error());
            if (number == 0 && !course_.outcome.winner) keep(std::move(answer));
            if (goes_on) start_next();
        }
        if (running_ == 0) finish();
    }

  private:
    static constexpr std::size_t most_attempts = HedgeJudge::most_hedges + 1;

    // All of these on the strand, and none once it has ended: what the course refers to may have gone.
    void start_attempt() {
        const auto self = this->shared_from_this(); // an attempt may be the last that has it
        const auto number = started_++;
        ++running_;
        const auto next_at = next_after(number);
        std::optional<RunningChain> chain;
        try {
            auto& signal = signals_[number];
            chain.emplace(course_.start(AttemptEnd<HedgeRace>{self, number}), strand(), signal.slot(), signal.state());
        } catch (...) {
            return attempt_ended(number, Error::from_exception(std::current_exception()));
        }
        chain->launch();
        // Only now: most that are ready at once have ended the race.
        if (next_at && !is_over_ && started_ == number + 1) set_alarm(*next_at);
    }
    std::optional<TimePoint> next_after(std::uint32_t number) const {
        const auto delay = has_hedges_ ? course_.judge.delay_before(number + 1) : std::nullopt;
        return delay ? std::optional{saturating_add(course_.time.now(), *delay)} : std::nullopt;
    }
    void set_alarm(TimePoint at) {
        try {
            alarm_.arm(course_.time, strand(), at);
        } catch (...) { // no memory: without another attempt
            has_hedges_ = false;
        }
    }
    void start_next() {
        if (is_over_ || !has_hedges_ || !course_.judge.delay_before(started_) || course_.time.now() >= course_.deadline)
            return;
        if (course_.judge.may_start())
            start_attempt();
        else
            has_hedges_ = false;
    }
    void keep(Success&& answer) {
        auto& result = course_.outcome.result;
        try {
            result.emplace(std::move(answer));
        } catch (...) {
            result.emplace(Error::from_exception(std::current_exception()));
        }
    }
    void end_all(asio::cancellation_type kind) {
        is_over_ = true;
        alarm_.disarm();
        const auto winner = course_.outcome.winner;
        for (std::uint32_t number = 0; number < started_; ++number) {
            if (number != winner) signals_[number].emit(kind);
        }
    }
    void finish() {
        if (has_ended()) return;
        is_over_ = true;
        alarm_.disarm();
        auto& outcome = course_.outcome;
        if (!outcome.result) outcome.result.emplace(Error{Errc::cancelled});
        outcome.is_callers_end = !outcome.winner && is_callers_end_;
        StrandWork::finish(!is_beginning_);
    }

    const Course course_;
    std::array<ChainSignal, most_attempts> signals_;
    std::uint32_t started_ = 0;
    std::uint32_t running_ = 0;
    bool is_over_ = false;      // nothing more is started
    bool has_hedges_ = true;    // nobody has said that there will be no more
    bool is_beginning_ = false; // in the stack of who began it
    bool is_cancelled_ = false; // by the caller, since the race began
    bool is_callers_end_;       // what fails, fails because of the caller
    CallAlarm<Time> alarm_{[](void* self) { static_cast<HedgeRace*>(self)->start_next(); }, this};
};

} // namespace velostream::detail
