// SPDX-License-Identifier: Apache-2.0
// What an ExactlyOnceCore does beside its handlers: commits, and what is left to do after something failed.
#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>

#include "background_question.hpp"
#include "exactly_once_core.hpp"
#include "velostream/kafka/error.hpp"

namespace velostream::kafka::detail {

namespace calls = transaction_calls;

void ExactlyOnceCore::start_commit() {
    is_committing_ = true;
    timer_.disarm(due_);
    timer_.disarm(too_old_);
    const auto ended = [self = self()](const std::exception_ptr& thrown) {
        if (thrown && !self->is_over_) self->doom(Error::from_exception(thrown), true);
        self->is_committing_ = false;
        self->work_has_ended();
    };
    asio::co_spawn(executor_, commit(), asio::bind_cancellation_slot(end_of_work_.slot(), ended));
}

void ExactlyOnceCore::start_recovery() {
    if (is_over_) return;
    is_recovering_ = true;
    const auto ended = [self = self()](const std::exception_ptr& thrown) {
        if (thrown && !self->is_over_) self->hopeless_ = Error::from_exception(thrown);
        self->is_recovering_ = false;
        self->work_has_ended();
    };
    asio::co_spawn(executor_, recover(), asio::bind_cancellation_slot(end_of_work_.slot(), ended));
}

void ExactlyOnceCore::work_has_ended() {
    if (!is_over_ && !is_ready() && !hopeless_) start_recovery(); // after a commit that failed
    if (!is_at_work() && (records_ == 0 || must_rewind_) && consumer_->is_keeping()) consumer_->let_go();
    changed_.wake_all();
    if (!is_at_work()) serve_records();
}

// Commit. Here and below: a wait that has ended just before the processor does is not cancelled any more, and there are
// no sessions after it.

asio::awaitable<void> ExactlyOnceCore::commit() {
    auto* const producer = producer_.get();
    const auto is_idle = [producer]() noexcept { return producer->is_idle(); };
    auto acknowledging = producer->idle().async_wait_unless(is_idle, asio::use_awaitable);
    co_await std::move(acknowledging);      // what handlers sent and did not wait for
    if (must_abort_ || is_over_) co_return; // the loop may have been told of its doom already
    auto what = offsets();
    if (!what.membership || consumer_->session()->is_assignment_lost()) {
        doom(Error{make_error_code(KafkaErrc{RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST}), "commit"}, true);
        co_return;
    }
    const auto until = saturating_add(timer_.now(), config_.transaction_timeout);
    auto question = [session = producer->session(), what = std::move(what), until](const Unwanted& is_unwanted) {
        return Result<calls::Outcome>{calls::commit(*session, what, until, is_unwanted)};
    };
    auto asking = wait_for_answer_to(ask_in_background<calls::Outcome>(std::move(question)));
    auto answer = co_await std::move(asking);
    if (!answer)
        note_failure({Remedy::reopen, answer.error()});
    else if (*answer)
        note_failure(**answer);
    else
        on_committed();
}

calls::Offsets ExactlyOnceCore::offsets() const {
    calls::Offsets offsets{{}, consumer_->membership()};
    for (const auto& partition : consumer_->partitions()) {
        const auto position = partition->progress.position();
        if (position && position != partition->stored)
            offsets.positions.push_back({partition->topic, partition->partition, *position});
    }
    return offsets;
}

void ExactlyOnceCore::on_committed() {
    ++counts_.committed;
    counts_.records += records_;
    counts_.last_problem.clear();
    failures_in_a_row_ = 0;
    damaged_.reset();
    for (const auto& partition : consumer_->partitions())
        if (const auto position = partition->progress.position()) partition->stored = position;
    forget_records();
}

// Recovery

asio::awaitable<void> ExactlyOnceCore::recover() {
    while (!is_ready() && !is_over_ && !hopeless_) {
        bool is_done = true;
        if (must_reopen_ || !producer_) {
            auto reopening = reopen_producer();
            is_done = co_await std::move(reopening);
        } else if (must_abort_) {
            auto aborting = abort_transaction();
            co_await std::move(aborting);
        } else {
            auto rewinding = rewind();
            is_done = co_await std::move(rewinding);
        }
        if (is_done || hopeless_ || is_over_) continue;
        auto pausing = pause_before_another_try();
        co_await std::move(pausing);
    }
}

asio::awaitable<void> ExactlyOnceCore::abort_transaction() {
    const auto until = saturating_add(timer_.now(), config_.transaction_timeout);
    auto question = [session = producer_->session(), until](const Unwanted& is_unwanted) {
        return Result<calls::Aborted>{calls::abort(*session, until, is_unwanted)};
    };
    auto asking = wait_for_answer_to(ask_in_background<calls::Aborted>(std::move(question)));
    auto answer = co_await std::move(asking);
    must_abort_ = false;
    if (!answer) {
        note_failure({Remedy::reopen, answer.error()});
    } else {
        if (answer->why) counts_.last_problem = answer->why->message();
        if (answer->outcome)
            note_failure(*answer->outcome);
        else if (answer->why && !passes(*answer->why))
            hopeless_ = *answer->why;
    }
    if (!must_reopen_) forget_aborted();
}

// Its `init` aborts what the old one left, or completes a commit that had begun.
asio::awaitable<bool> ExactlyOnceCore::reopen_producer() {
    make_producer();
    for (;;) {
        constexpr auto look_up = std::chrono::seconds{2};
        auto question = [session = producer_->session(),
                         until = saturating_add(timer_.now(), look_up)](const Unwanted& is_unwanted) {
            return Result<calls::Outcome>{calls::open(*session, until, is_unwanted)};
        };
        auto asking = wait_for_answer_to(ask_in_background<calls::Outcome>(std::move(question)));
        auto answer = co_await std::move(asking);
        if (is_over_) co_return false;
        if (!answer) {
            counts_.last_problem = answer.error().message();
            co_return false;
        }
        if (!*answer) {
            must_reopen_ = false;
            must_abort_ = false;
            forget_aborted();
            co_return true;
        }
        auto failure = **answer;
        const auto cause = producer_->cause();
        if (cause && failure.remedy == Remedy::wait) failure.error = *cause;
        if (failure.error == ErrorType::authentication) failure.remedy = Remedy::stop;
        note_failure(failure);
        if (failure.remedy != Remedy::wait) co_return false;
    }
}

void ExactlyOnceCore::make_producer() {
    if (producer_) {
        producer_->retire();
        ++counts_.reopened;
    }
    ProducerCore::Transactions transactions;
    transactions.id = config_.transactional_id;
    transactions.timeout = config_.transaction_timeout;
    transactions.on_loss = [weak = std::weak_ptr{self()}](const Error& error) {
        const auto core = weak.lock();
        return core && core->on_loss(error);
    };
    producer_ = std::make_shared<ProducerCore>(executor_, config_.producer, account_, std::move(transactions));
    producer_->join_context();
}

void ExactlyOnceCore::forget_aborted() noexcept {
    if (records_ > 0) ++counts_.aborted;
    forget_records();
}

// To what the group has committed, which a transaction whose end nobody saw may have moved; where it has nothing, to
// the first record that was read.
asio::awaitable<bool> ExactlyOnceCore::rewind() {
    const auto ours = consumer_->partitions();
    if (consumer_->is_keeping() || ours.empty()) { // whoever has them next begins there
        must_rewind_ = false;
        co_return true;
    }
    std::vector<ConsumerSession::Position> places;
    for (const auto& partition : ours) places.push_back({partition->topic, partition->partition, 0});
    auto question = [session = consumer_->session(), places](const Unwanted& is_unwanted) {
        return calls::committed(*session, places, is_unwanted);
    };
    auto asking = wait_for_answer_to(ask_in_background<std::vector<ConsumerSession::Position>>(std::move(question)));
    auto committed = co_await std::move(asking);
    if (is_over_) co_return false;
    if (!committed) {
        counts_.last_problem = committed.error().message();
        if (!passes(committed.error())) hopeless_ = committed.error();
        co_return false;
    }
    for (std::size_t i = 0; i < ours.size(); ++i) {
        auto& offset = (*committed)[i].offset;
        offset = std::max(offset, ours[i]->stored.value_or(-1));
        if (offset < 0) offset = ours[i]->first.value_or(RD_KAFKA_OFFSET_INVALID);
    }
    auto seeking_question = [session = consumer_->session(), places = std::move(*committed)](const Unwanted&) {
        return calls::seek(*session, places);
    };
    auto seeking = wait_for_answer_to(ask_in_background<void>(std::move(seeking_question)));
    auto sought = co_await std::move(seeking);
    if (!sought) {
        counts_.last_problem = sought.error().message();
        co_return false;
    }
    consumer_->forget_what_was_read();
    must_rewind_ = false;
    co_return true;
}

asio::awaitable<void> ExactlyOnceCore::pause_before_another_try() {
    asio::steady_timer timer{executor_, next_pause()};
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
}

// The same of the loop, which may also be cancelled.
asio::awaitable<void> ExactlyOnceCore::pause_unless_stopped() {
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    const auto until = timer_.now() + next_pause();
    const auto is_over = [this, until]() noexcept { return consumer_->is_stopped() || timer_.now() >= until; };
    while (!is_over() && cancellation.cancelled() == asio::cancellation_type::none) {
        timer_.arm(pause_time_, until);
        auto waiting = changed_.async_wait_unless(is_over, asio::as_tuple(asio::use_awaitable));
        co_await std::move(waiting);
    }
    timer_.disarm(pause_time_);
}

Duration ExactlyOnceCore::next_pause() noexcept {
    constexpr Duration first = std::chrono::milliseconds{100};
    constexpr Duration longest = std::chrono::seconds{10};
    constexpr unsigned most_doublings = 7;
    return std::min(first * (1U << std::min(failures_in_a_row_++, most_doublings)), longest);
}

} // namespace velostream::kafka::detail
