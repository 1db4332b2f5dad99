// SPDX-License-Identifier: Apache-2.0
#include "exactly_once_core.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "async/background.hpp"
#include "queue_bytes.hpp"
#include "second_try.hpp"
#include "velostream/kafka/error.hpp"

namespace velostream::kafka::detail {

namespace {

ExactlyOnceConfig completed(ExactlyOnceConfig config, const MemoryAccount& account) {
    if (config.producer.bootstrap_servers.empty())
        config.producer.bootstrap_servers = config.consumer.bootstrap_servers;
    config.consumer.fetch_queue_bytes = queue_bytes(config.consumer.fetch_queue_bytes, account);
    return config;
}

bool is_cancelled(const asio::cancellation_state& state) noexcept {
    return state.cancelled() != asio::cancellation_type::none;
}

} // namespace

ExactlyOnceCore::ExactlyOnceCore(asio::any_io_executor executor, const ExactlyOnceConfig& config, MemoryAccount account)
    : config_(completed(config, account)),
      executor_(std::move(executor)),
      account_(std::move(account)),
      timer_(executor_),
      consumer_(std::make_shared<ConsumerCore>(executor_, config_.consumer, static_cast<ConsumerCore::Keeper*>(this))),
      due_(*this, &ExactlyOnceCore::on_due),
      too_old_(*this, &ExactlyOnceCore::on_too_old),
      pause_time_(*this, &ExactlyOnceCore::on_time),
      closing_time_(*this, &ExactlyOnceCore::on_time) {}

ExactlyOnceCore::~ExactlyOnceCore() = default;

void ExactlyOnceCore::open() {
    if (!membership_.join(executor_, shared_from_this())) return retire();
    consumer_->open();
}

// The loop

void ExactlyOnceCore::leave_loop() {
    is_in_loop_ = false;
    changed_.wake_all();
}

asio::awaitable<Result<void>> ExactlyOnceCore::prepare() {
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    const auto is_idle = [this]() noexcept { return !is_at_work() || consumer_->is_stopped(); };
    for (;;) {
        if (is_cancelled(cancellation)) co_return Error{Errc::cancelled};
        if (consumer_->is_stopped()) co_return Result<void>{}; // the loop ends before it begins
        if (!is_at_work()) {
            const auto hopeless = std::exchange(hopeless_, std::nullopt);
            if (hopeless && !std::exchange(is_told_, false)) co_return *hopeless;
            if (is_ready()) co_return Result<void>{};
            start_recovery();
        }
        auto waiting = changed_.async_wait_unless(is_idle, asio::as_tuple(asio::use_awaitable));
        co_await std::move(waiting);
    }
}

std::shared_ptr<RecordLoop> ExactlyOnceCore::open_records(const ForEachOptions& options) {
    has_failed_ = false;
    is_told_ = false;
    doom_.reset();
    auto loop = open_record_loop(consumer_, options, static_cast<RecordGate*>(this));
    records_loop_ = loop;
    return loop;
}

asio::awaitable<std::optional<Result<void>>> ExactlyOnceCore::conclude(Result<void> ended) {
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    const auto is_idle = [this]() noexcept { return !is_at_work(); };
    // Stopped: what the handlers did is committed, unless a record that was held is left. A recovery has nothing to
    // commit, and lasts as long as an outage.
    while (ended && !doom_ && !has_failed_ && !is_over_ && !is_cancelled(cancellation) && has_uncommitted() &&
           !is_recovering_) {
        if (!is_at_work()) {
            if (!is_ready()) break;
            start_commit();
        }
        auto waiting = changed_.async_wait_unless(is_idle, asio::as_tuple(asio::use_awaitable));
        co_await std::move(waiting);
    }
    if (is_over_) co_return records_ > 0 && ended ? Result<void>{Errc::consumer_closed} : ended;
    const auto doomed = std::exchange(doom_, std::nullopt);
    if (doomed || (records_ > 0 && !is_committing_)) abort_soon();
    if (is_cancelled(cancellation)) co_return Result<void>{Errc::cancelled};
    if (!doomed && ended && !is_at_work() && hopeless_) co_return Result<void>{*std::exchange(hopeless_, std::nullopt)};
    if (!doomed) co_return ended;
    is_told_ = !doomed->passes;
    if (is_told_) co_return Result<void>{doomed->error};
    auto pausing = pause_unless_stopped();
    co_await std::move(pausing);
    if (is_cancelled(cancellation)) co_return Result<void>{Errc::cancelled};
    co_return std::nullopt;
}

void ExactlyOnceCore::stop() {
    consumer_->stop();
    changed_.wake_all();
}

// Records

bool ExactlyOnceCore::admits(const ConsumedRecord&) {
    return is_ready() && !is_at_work() && !doom_ && !is_due_ && !consumer_->is_keeping() &&
           records_ < config_.max_records && bytes_ < config_.max_bytes;
}

void ExactlyOnceCore::on_started(const ConsumedRecord& record) {
    if (records_ == 0) {
        began_ = timer_.now();
        timer_.arm(due_, saturating_add(began_, config_.commit_interval));
        timer_.arm(too_old_, saturating_add(began_, config_.transaction_timeout));
    }
    ++records_;
    ++open_;
    bytes_ += record.size_bytes();
}

// What a transaction says twice is read twice. And partitions that are asked back do not wait for an outage to end.
bool ExactlyOnceCore::admits_again(const ConsumedRecord& record, const Error& error, bool has_written) {
    if (!doom_ && !has_written && !consumer_->is_keeping() && !has_letter_of(record)) return true;
    doom(error, true);
    return false;
}

// By the id of a dead letter, which begins with the place of its record unless that was a dead letter before.
bool ExactlyOnceCore::has_letter_of(const ConsumedRecord& record) const {
    if (letters_.empty()) return false;
    for (const auto header : record.headers())
        if (header.name == "x-dlq-id" && header.value && letters_.contains(*header.value)) return true;
    const auto place = std::string{record.topic()} + '/' + std::to_string(record.partition()) + '/' +
                       std::to_string(record.offset()) + '/';
    const auto letter = letters_.lower_bound(place);
    return letter != letters_.end() && letter->starts_with(place);
}

void ExactlyOnceCore::on_ended(const ConsumedRecord& record, bool is_done) {
    --open_;
    if (is_done)
        consumer_->done(record);
    else
        has_failed_ = true;
    commit_if_due();
}

void ExactlyOnceCore::on_due() {
    is_due_ = true;
    commit_if_due();
}

// Before the brokers abort it, which have known it for less time. A handler's failure remains how the loop ends.
void ExactlyOnceCore::on_too_old() {
    if (records_ == 0 || is_at_work()) return;
    Error error{Errc::deadline_exceeded, "transaction_timeout"};
    if (!has_failed_) return doom(std::move(error), true);
    if (const auto loop = records_loop_.lock()) loop->abandon(std::move(error));
}

void ExactlyOnceCore::commit_if_due() {
    const bool can_be_committed =
        open_ == 0 && records_ > 0 && !has_failed_ && !doom_ && is_ready() && !is_at_work() && !is_over_;
    const bool is_full = records_ >= config_.max_records || bytes_ >= config_.max_bytes;
    if (can_be_committed && (is_due_ || is_full || consumer_->is_keeping())) start_commit();
}

void ExactlyOnceCore::serve_records() {
    if (const auto loop = records_loop_.lock()) loop->serve();
}

void ExactlyOnceCore::forget_records() noexcept {
    timer_.disarm(due_);
    timer_.disarm(too_old_);
    is_due_ = false;
    records_ = 0;
    bytes_ = 0;
    letters_.clear();
}

// What is wrong

// Whether what went wrong with a transaction may go well with the next one. A batch that was damaged on its way is sent
// once more; within the same transaction that is not possible.
bool ExactlyOnceCore::passes(const Error& error) noexcept {
    if (error == KafkaErrc{RD_KAFKA_RESP_ERR_INVALID_MSG}) {
        if (!damaged_) damaged_ = counts_.aborted;
        return second_try_after(RD_KAFKA_RESP_ERR_INVALID_MSG, {.again = *damaged_ != counts_.aborted}) ==
               SecondTry::again;
    }
    return error != ErrorType::authorization && error != ErrorType::authentication && error != ErrorType::bad_request;
}

bool ExactlyOnceCore::on_loss(const Error& error) {
    const bool is_worth_another_try = passes(error);
    doom(error, is_worth_another_try);
    return is_worth_another_try;
}

// Later: a report is being served, of a send that one of those who are cancelled may wait for.
void ExactlyOnceCore::doom(Error error, bool is_worth_another_try) {
    if (doom_) return;
    counts_.last_problem = error.message();
    must_abort_ = true;
    must_rewind_ = must_rewind_ || records_ > 0;
    doom_ = Doom{error, is_worth_another_try};
    asio::post(executor_, [loop = records_loop_, error = std::move(error)] {
        if (const auto doomed = loop.lock()) doomed->abandon(error);
    });
}

// The brokers fence a producer whose transaction took too long, too; and then nobody else has its place.
void ExactlyOnceCore::note_failure(transaction_calls::Failure failure) {
    if (failure.error == Errc::producer_fenced && records_ > 0 &&
        timer_.now() - began_ >= config_.transaction_timeout) {
        failure.remedy = Remedy::reopen;
        failure.error = Error{Errc::deadline_exceeded, "transaction_timeout"}.with_inner(failure.error);
    }
    if (failure.error == Errc::producer_fenced)
        failure.error = failure.error.with_detail("transactional_id " + config_.transactional_id + ": " +
                                                  std::string{failure.error.detail()});
    counts_.last_problem = failure.error.message();
    if (failure.remedy == Remedy::abort)
        must_abort_ = true;
    else
        must_reopen_ = true;
    if (failure.remedy == Remedy::stop) hopeless_ = failure.error;
    must_rewind_ = must_rewind_ || records_ > 0;
    if (is_committing_) doom(failure.error, failure.remedy != Remedy::stop && passes(failure.error));
}

void ExactlyOnceCore::abort_soon() {
    must_abort_ = true;
    must_rewind_ = must_rewind_ || records_ > 0;
    if (!is_at_work()) start_recovery();
}

// Partitions

bool ExactlyOnceCore::lets_go(bool is_lost) {
    if (is_at_work()) return false; // they go when that has ended
    if (records_ == 0 || must_rewind_) return true;
    if (is_lost)
        doom(Error{make_error_code(KafkaErrc{RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST}), "partitions were taken away"}, true);
    else if (consumer_->has_held())
        doom(Error{make_error_code(KafkaErrc{RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS}), "a record is held"}, true);
    else
        commit_if_due();
    return !consumer_->is_keeping();
}

std::vector<PartitionPosition> ExactlyOnceCore::assignment() const {
    auto positions = consumer_->assignment();
    for (std::size_t i = 0; i < positions.size(); ++i) positions[i].stored = consumer_->partitions()[i]->stored;
    return positions;
}

// Life

asio::awaitable<void> ExactlyOnceCore::close(Duration at_most) {
    const auto keep = self();
    const auto until = saturating_add(timer_.now(), at_most);
    stop();
    const auto is_quiet = [this]() noexcept { return (!is_in_loop_ && !is_at_work()) || is_over_; };
    while (!is_quiet() && timer_.now() < until) {
        if (!closing_time_.is_armed() || until < closing_at_) {
            closing_at_ = until;
            timer_.arm(closing_time_, until);
        }
        auto waiting = changed_.async_wait_unless(is_quiet, asio::use_awaitable);
        co_await std::move(waiting);
    }
    end_work();
    end_producer();
    auto leaving = close_consumer(consumer_, std::max(until - timer_.now(), Duration{0}));
    co_await std::move(leaving);
}

void ExactlyOnceCore::end_work() noexcept {
    if (std::exchange(is_over_, true)) return;
    timer_.disarm(due_);
    timer_.disarm(too_old_);
    timer_.disarm(pause_time_);
    timer_.disarm(closing_time_);
    timer_.rest();
    end_of_work_.emit(asio::cancellation_type::terminal);
    changed_.wake_all();
}

// It stays, closed: handlers may still send.
void ExactlyOnceCore::end_producer() noexcept {
    if (!producer_) return;
    constexpr auto patience = std::chrono::seconds{5};
    if (auto session = producer_->session())
        run_in_background([session = std::move(session), until = timer_.now() + patience]() mutable {
            transaction_calls::abort_at_the_end(*session, until);
            session.reset();
        });
    producer_->retire();
}

void ExactlyOnceCore::retire() noexcept {
    const auto keep = self();
    consumer_->retire();
    end_work();
    end_producer();
    membership_.leave();
}

bool ExactlyOnceCore::detach() noexcept {
    is_over_ = true;
    timer_.abandon();
    return true;
}

void ExactlyOnceCore::drop() noexcept {
    if (producer_) end_producer();
    executor_ = {}; // a strand of the context must not outlive it
}

ExactlyOnceStats ExactlyOnceCore::stats() const {
    auto stats = counts_;
    stats.reading = consumer_->stats();
    if (producer_) stats.sending = producer_->stats();
    return stats;
}

ProducerCore& producer_of(ExactlyOnceCore& core) noexcept {
    return core.producer();
}

} // namespace velostream::kafka::detail
