// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "velostream/async/call_context.hpp"
#include "velostream/async/context_tie.hpp"
#include "velostream/async/errand.hpp"
#include "velostream/async/serial_executor.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/async/wait_queue.hpp"
#include "velostream/base/observer.hpp"
#include "velostream/base/result.hpp"
#include "velostream/config/dead_letter_queue_config.hpp"
#include "velostream/core/dead_letter_envelope.hpp"
#include "velostream/core/letters_aside.hpp"
#include "velostream/core/spool_frame.hpp"
#include "velostream/spool.hpp"

namespace velostream::detail {

/// Brings dead letters from a spool to their sink, in the order in which they were spooled, and never gives up.
///
/// Some hundred letters at once, each begun in its turn. When one fails it comes again after `retry_delay`, with those
/// that failed behind it, and alone until one has arrived. A letter that is to blame, itself (too large for the topic)
/// or with its topic (there is none), holds up nobody: it is put aside, and tried again every `retry_delay`.
///
/// The observer is told of each pause after a failure, and of each failure of a letter that is put aside; and that
/// letters are stuck after 1 + `max_retries` failures in a row, of those aside as `LettersAside` counts them.
///
/// While letters wait here, new ones of the queue must come behind them, into the spool; but when the last ones are on
/// their way already, new ones wait until these have arrived, and need no disk.
///
/// Threads:  safe, but for the sink, which is used on the executor only.
/// Lifetime: lives until `close`, and until what it has begun has ended.
template <class Sink, TimeSource Time>
class DeadLetterRelay : public std::enable_shared_from_this<DeadLetterRelay<Sink, Time>> {
  public:
    DeadLetterRelay(Spool spool, std::shared_ptr<Sink> sink, const Time& time, const DeadLetterQueueConfig& config,
                    std::shared_ptr<Observer> observer, const asio::any_io_executor& executor)
        : spool_(std::move(spool)),
          sink_(std::move(sink)),
          time_(time),
          config_(config),
          observer_(std::move(observer)),
          tie_(serial_executor(executor)),
          aside_(saturating_increment(config.max_retries)) {}

    /// Begins with what the spool holds.
    void start() {
        const auto executor = tie_.executor();
        if (!executor) return; // its context is ending
        errand_ = std::make_shared<Errand>(*executor, [weak = this->weak_from_this()] {
            if (const auto self = weak.lock()) self->begin();
        });
        spool_.set_listener([weak = std::weak_ptr{errand_}]() noexcept {
            if (const auto errand = weak.lock()) errand->soon();
        });
        if (spool_.waiting() != 0) errand_->soon();
    }

    const Spool& spool() const noexcept { return spool_; }
    /// Letters that have arrived from the spool.
    std::uint64_t relayed() const noexcept { return relayed_.load(std::memory_order_relaxed); }

    /// Whether letters may go past the spool. Waits while the last ones are on their way from there.
    ///
    /// Cancellation: all kinds; then the answer is no.
    asio::awaitable<bool> is_open() {
        if (is_finishing_) {
            const auto goes_on = [self = this->shared_from_this()]() noexcept { return !self->is_finishing_; };
            const auto [interrupted] = co_await turn_.async_wait_unless(goes_on, asio::as_tuple(asio::use_awaitable));
            if (interrupted) co_return false;
        }
        co_return held_up() == 0;
    }

    /// Nothing more is brought to the sink, and what is on its way is cancelled.
    void close() noexcept {
        is_closed_ = true;
        try {
            tie_.with_executor([this](const asio::any_io_executor& executor) {
                asio::post(executor, [self = this->shared_from_this()] {
                    for (const auto& signal : std::exchange(self->signals_, {}))
                        if (const auto alive = signal.lock()) alive->emit(asio::cancellation_type::terminal);
                });
            });
        } catch (...) { // for want of memory: what is on its way goes on, and is the last
        }
    }

  private:
    using Entries = std::vector<SpoolEntry>;
    using Signal = asio::cancellation_signal;
    struct Window {
        explicit Window(std::size_t size) : left(size), errors(size) {}

        std::size_t left;
        std::vector<std::optional<Error>> errors; // those of the letters that have failed
        WaitQueue ended;
    };
    // However a coroutine ends. Asio destroys one that finds no memory to begin a wait.
    struct Running {
        DeadLetterRelay& relay;
        bool& is_running;
        bool has_ended = false;
        ~Running() {
            is_running = false;
            if (has_ended) return;
            relay.set_finishing(false);
            if (!relay.is_closed_) relay.errand_->soon();
        }
    };
    static constexpr Bytes most_at_once = 256_KiB;

    /// Letters that those which come now must not pass.
    std::uint64_t held_up() const {
        const auto waiting = spool_.waiting();
        return waiting - std::min(waiting, aside_count_.load());
    }

    // Of something that is spawned, whose handler keeps it: it must not outlive the execution context.
    std::shared_ptr<Signal> new_signal() {
        auto signal = std::make_shared<Signal>();
        signals_.push_back(signal);
        return signal;
    }

    void begin() {
        has_news_ = true;
        if (is_closed_) return;
        spawn(is_running_, &DeadLetterRelay::run);
        if (!aside_.empty()) spawn(is_aside_running_, &DeadLetterRelay::try_aside); // where it found no memory
    }
    /// Unless it runs. Where there is no memory for it, the next who asks tries again.
    void spawn(bool& is_running, asio::awaitable<void> (*coroutine)(std::shared_ptr<DeadLetterRelay>)) noexcept {
        if (std::exchange(is_running, true)) return;
        try {
            const auto executor = tie_.executor().value();
            const auto signal = new_signal();
            asio::co_spawn(executor, coroutine(this->shared_from_this()),
                           asio::bind_cancellation_slot(signal->slot(), [signal](std::exception_ptr) {}));
        } catch (...) {
            is_running = false;
        }
    }

    static asio::awaitable<void> run(std::shared_ptr<DeadLetterRelay> self) {
        Running running{*self, self->is_running_};
        co_await asio::this_coro::throw_if_cancelled(false);
        for (std::uint32_t failures = 0; !self->is_closed_ && std::exchange(self->has_news_, false);) {
            std::optional<Error> failed;
            try {
                auto emptying = self->empty_spool();
                co_await std::move(emptying);
                failures = 0;
            } catch (...) { // for want of memory: goes on where it was
                self->has_news_ = true;
                failed = Error::from_exception(std::current_exception());
            }
            self->set_finishing(false);
            if (!failed) continue;
            auto waiting = self->wait_after(++failures, *failed);
            co_await std::move(waiting);
        }
        running.has_ended = true;
    }

    asio::awaitable<void> empty_spool() {
        if (!entries_.empty()) {
            auto delivering = deliver_all();
            co_await std::move(delivering);
            set_finishing(false);
        }
        for (std::uint32_t failures = 0; !is_closed_;) {
            auto reading = spool_.async_read(cursor_, most_at_once, asio::use_awaitable);
            auto batch = co_await std::move(reading);
            if (!batch) {
                const auto error = batch.error();
                ++failures;
                auto waiting = wait_after(failures, error);
                co_await std::move(waiting);
                continue;
            }
            failures = 0;
            cursor_ = batch->next;
            entries_ = std::move(batch->entries);
            if (entries_.empty()) co_return;
            auto delivering = deliver_all();
            co_await std::move(delivering);
            set_finishing(false);
        }
    }

    void set_finishing(bool finishing) {
        is_finishing_ = finishing;
        if (!finishing) turn_.wake_all();
    }

    // Wherever it ends, `entries_` and `window_` say how to go on.
    asio::awaitable<void> deliver_all() {
        std::uint32_t failures = 0;
        while (!entries_.empty() && !is_closed_) {
            if (!window_) begin_window(failures == 0 ? entries_.size() : 1, failures);
            const auto window = window_;
            const auto all_ended = [window]() noexcept { return window->left == 0; };
            auto waiting = window->ended.async_wait_unless(all_ended, asio::as_tuple(asio::use_awaitable));
            co_await std::move(waiting);
            if (is_closed_) co_return; // what has arrived by then is done

            const auto first_error = settle_window(failures);
            if (!first_error) {
                failures = 0;
                continue;
            }
            set_finishing(false); // nobody must wait for so long
            ++failures;
            auto pause = wait_after(failures, *first_error);
            co_await std::move(pause);
        }
    }

    void begin_window(std::size_t count, std::uint32_t failures) {
        std::erase_if(signals_, [](const auto& signal) { return signal.expired(); });
        set_finishing(failures == 0 && held_up() <= entries_.size()); // nobody waits for a trial
        window_ = std::make_shared<Window>(count);
        for (std::size_t index = 0; index < count; ++index) {
            try {
                begin_delivery(window_, index, entries_[index], failures);
            } catch (...) { // those behind it come after it
                const auto why = Error::from_exception(std::current_exception());
                for (; index < count; ++index, --window_->left) window_->errors[index] = why;
            }
        }
    }
    /// Leaves those in `entries_` that have failed and must come again, and says why the first one did. Before this it
    /// had failed `failures` times in a row: if any, it was alone in the window.
    std::optional<Error> settle_window(std::uint32_t failures) {
        const auto& errors = window_->errors;
        for (std::size_t index = 0; index < errors.size(); ++index)
            if (errors[index] && LettersAside::is_to_blame(*errors[index]))
                put_aside(entries_[index].sequence, failures, *errors[index]);

        std::optional<Error> first_error;
        std::size_t index = 0;
        std::erase_if(entries_, [&](const auto&) {
            const auto at = index++;
            if (at >= errors.size()) return false;
            if (!errors[at] || LettersAside::is_to_blame(*errors[at])) return true;
            if (!first_error) first_error = errors[at];
            return false;
        });
        window_ = nullptr;
        return first_error;
    }

    void begin_delivery(const std::shared_ptr<Window>& window, std::size_t index, const SpoolEntry& entry,
                        std::uint32_t failures) {
        const auto executor = tie_.executor();
        if (!executor) return;
        const auto signal = new_signal();
        auto delivering = deliver(this->shared_from_this(), entry, failures + 1);
        auto ended = [window, index, signal](std::exception_ptr thrown, std::optional<Error> error) {
            window->errors[index] = thrown ? Error::from_exception(thrown) : std::move(error);
            if (--window->left == 0) window->ended.wake_all();
        };
        asio::co_spawn(*executor, std::move(delivering),
                       asio::bind_cancellation_slot(signal->slot(), std::move(ended)));
    }

    /// Nothing if it has arrived.
    static asio::awaitable<std::optional<Error>> deliver(std::shared_ptr<DeadLetterRelay> self, SpoolEntry entry,
                                                         std::uint32_t attempt) {
        const auto spooled = SpooledRecord::decoded(entry.payload);
        if (!spooled) co_return Error{make_error_code(boost::system::errc::bad_message), "not a dead letter"};
        const auto letter = DeadLetter::restored(spooled->record());
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        CallContext call{saturating_add(self->time_.now(), self->config_.delivery_timeout)};
        call.begin_attempt(attempt, CallContext::no_deadline);
        call.set_cancellation_slot(cancellation.slot());
        call.set_idempotent(true);
        if (self->is_closed_) co_return Error{Errc::cancelled};
        auto storing = self->sink_->store(letter, call);
        const auto stored = co_await std::move(storing);
        if (!stored) co_return stored.error();
        auto aside = self->aside_.take(entry.sequence); // first: see held_up()
        self->aside_count_ = self->aside_.size();
        try {
            self->spool_.done(entry.sequence);
        } catch (...) {
            self->aside_.put_back(std::move(aside));
            self->aside_count_ = self->aside_.size();
            throw;
        }
        self->aside_.on_arrived(aside);
        self->relayed_.fetch_add(1, std::memory_order_relaxed);
        co_return std::nullopt;
    }

    asio::awaitable<void> wait_after(std::uint32_t failures, const Error& error) {
        if (is_closed_) co_return;
        if (observer_) observer_->on_dead_letter_delayed({config_.topic, failures, error});
        if (observer_ && failures == saturating_increment(config_.max_retries))
            observer_->on_dead_letters_stuck({config_.topic, spool_.waiting(), failures, error});
        auto pausing = pause();
        co_await std::move(pausing);
    }
    asio::awaitable<void> pause() {
        const auto executor = co_await asio::this_coro::executor;
        const auto end = saturating_add(time_.now(), config_.retry_delay);
        auto sleeping = async_sleep_until(time_, executor, end, asio::as_tuple(asio::use_awaitable));
        co_await std::move(sleeping);
    }
    static std::uint32_t saturating_increment(std::uint32_t value) noexcept {
        return value == std::numeric_limits<std::uint32_t>::max() ? value : value + 1;
    }

    void put_aside(std::uint64_t sequence, std::uint32_t failures, const Error& error) {
        const bool is_new = aside_.put(sequence, failures); // else there was no memory for those behind it
        aside_count_ = aside_.size();
        spawn(is_aside_running_, &DeadLetterRelay::try_aside);
        if (is_new) on_aside_failed(sequence, error);
    }
    void on_aside_failed(std::uint64_t sequence, const Error& error) {
        const auto failed = aside_.on_failed(sequence, error);
        if (!failed || !observer_) return;
        observer_->on_dead_letter_delayed({config_.topic, failed->in_a_row, error});
        if (failed->is_alert)
            observer_->on_dead_letters_stuck({config_.topic, spool_.waiting(), failed->in_a_row, error});
    }

    static asio::awaitable<void> try_aside(std::shared_ptr<DeadLetterRelay> self) {
        Running running{*self, self->is_aside_running_};
        co_await asio::this_coro::throw_if_cancelled(false);
        for (std::uint32_t round = 1; !self->is_closed_ && !self->aside_.empty(); ++round) {
            auto pausing = self->pause();
            co_await std::move(pausing);
            try {
                auto trying = self->go_through_aside(round);
                co_await std::move(trying);
            } catch (...) { // for want of memory: the next round is not far
            }
        }
        running.has_ended = true;
    }

    asio::awaitable<void> go_through_aside(std::uint32_t round) {
        SpoolCursor cursor{aside_.empty() ? 0 : aside_.first() - 1};
        while (!is_closed_ && !aside_.empty() && aside_.last() > cursor.after()) {
            auto reading = spool_.async_read(cursor, most_at_once, asio::use_awaitable);
            const auto batch = co_await std::move(reading);
            if (!batch) co_return;
            aside_.forget_missing(cursor.after(), batch->entries);
            aside_count_ = aside_.size();
            if (batch->entries.empty()) co_return;
            cursor = batch->next;
            for (const auto& entry : batch->entries) {
                if (is_closed_) co_return;
                if (!aside_.contains(entry.sequence)) continue;
                const auto window = std::make_shared<Window>(1);
                begin_delivery(window, 0, entry, round);
                const auto has_ended = [window]() noexcept { return window->left == 0; };
                auto waiting = window->ended.async_wait_unless(has_ended, asio::as_tuple(asio::use_awaitable));
                co_await std::move(waiting);
                if (is_closed_) co_return;
                if (const auto& error = window->errors[0]) on_aside_failed(entry.sequence, *error);
            }
        }
    }

    const Spool spool_;
    const std::shared_ptr<Sink> sink_;
    const Time time_;
    const DeadLetterQueueConfig config_;
    const std::shared_ptr<Observer> observer_;
    ContextTie tie_; // of an executor that runs one thing after the other
    std::shared_ptr<Errand> errand_;

    // seq_cst, all of them: who changes one and looks at another meets who does it the other way round.
    std::atomic<bool> is_closed_{false};
    std::atomic<bool> is_finishing_{false}; // the last letters are on their way: new ones wait for that
    std::atomic<std::uint64_t> aside_count_{0};
    std::atomic<std::uint64_t> relayed_{0};
    WaitQueue turn_;

    // On the executor only.
    std::vector<std::weak_ptr<Signal>> signals_; // of what is spawned
    SpoolCursor cursor_;
    Entries entries_;                // read, and not arrived
    std::shared_ptr<Window> window_; // of the first of them, if they are on their way
    bool has_news_ = false;          // since the spool was last read to its end
    bool is_running_ = false;
    LettersAside aside_;
    bool is_aside_running_ = false;
};

} // namespace velostream::detail
