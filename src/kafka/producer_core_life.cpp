// SPDX-License-Identifier: Apache-2.0
// How a producer begins, replaces a client that is broken, and ends.
#include <algorithm>
#include <boost/asio/error.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <utility>

#include "producer_core.hpp"
#include "queue_bytes.hpp"
#include "velostream/kafka/error.hpp"

namespace velostream::kafka::detail {

namespace {

ProducerConfig within(const MemoryAccount& account, ProducerConfig config) {
    config.max_in_flight_bytes = queue_bytes(config.max_in_flight_bytes, account);
    return config;
}

} // namespace

ProducerCore::ProducerCore(asio::any_io_executor executor, const ProducerConfig& config, MemoryAccount account,
                           std::optional<Transactions> transactions)
    : config_(within(account, config)),
      transactions_(std::move(transactions)),
      executor_(std::move(executor)),
      timer_(executor_),
      signal_(std::in_place, executor_, static_cast<EventSignal::Owner&>(*this)),
      session_(new_session()),
      account_(std::move(account)),
      close_deadline_(*this, &ProducerCore::shut_down),
      reopen_deadline_(*this, &ProducerCore::after_progress) {}

ProducerCore::~ProducerCore() = default;

std::shared_ptr<ProducerSession> ProducerCore::new_session() {
    Listener& listener = *this;
    return std::make_shared<ProducerSession>(config_, *signal_, listener, transactions_);
}

std::shared_ptr<ProducerSession> ProducerCore::new_session_of_single_records() {
    auto config = config_;
    config.linger = Duration::zero();
    config.properties["batch.num.messages"] = "1";
    Listener& listener = *this;
    return std::make_shared<ProducerSession>(config, *signal_, listener);
}

void ProducerCore::join_context() {
    if (!membership_.join(executor_, shared_from_this())) return shut_down();
    if (transactions_) listen(); // commit and abort wait for reports that nobody else may wait for
}

// Records come back in the order in which they would have been sent; those that are certainly not written are handed
// over again, before any later one, so that no partition sees an older record after a newer one.
void ProducerCore::begin_reopen() {
    if (is_reopening_) return;
    is_reopening_ = true;
    ++counts_.reopened;
    cause_.note(RD_KAFKA_RESP_ERR__FATAL, session_->fatal_error());
    lose(Error{make_error_code(KafkaErrc{RD_KAFKA_RESP_ERR__FATAL}), session_->fatal_error()});
    session_->purge();
    if (alone_) alone_->purge();
}

void ProducerCore::reopen_when_empty() {
    if (!is_reopening_ || transactions_ || in_flight_ > 0 || reopen_deadline_.is_armed()) return;
    try {
        session_ = new_session();
    } catch (const std::exception& problem) { // out of threads or memory: worth another try
        cause_.note(RD_KAFKA_RESP_ERR__FATAL, problem.what());
        return timer_.arm(reopen_deadline_, timer_.now() + std::chrono::milliseconds{500});
    }
    alone_.reset(); // whose client it may be that is broken
    is_reopening_ = false;

    std::vector<SendOperation*> returned;
    returned.reserve(returned_.size());
    while (!returned_.empty()) {
        returned.push_back(&returned_.front());
        leave_queue(returned_.front());
    }
    std::ranges::sort(returned, std::ranges::greater{}, &SendOperation::sequence);
    for (auto* operation : returned) {
        operation->place = SendOperation::Place::waiting;
        waiting_.push_front(*operation);
    }
    hand_over_waiting();
}

// Of several the shortest grace counts.
void ProducerCore::begin_close(Duration grace) {
    if (state_ == State::closed) return;
    const auto at = saturating_add(timer_.now(), grace);
    if (state_ == State::open || at < close_at_) {
        close_at_ = at;
        timer_.arm(close_deadline_, at);
    }
    state_ = State::closing;
    after_progress();
}

void ProducerCore::shut_down() {
    if (state_ == State::closed) return;
    const auto keep = self();
    state_ = State::closed;
    for (const auto& operation : pool_) {
        if (!*operation) continue;
        Error error{Errc::producer_closed};
        if (operation->place == SendOperation::Place::handed_over) error = error.with_inner(Errc::send_outcome_unknown);
        fail(*operation, std::move(error), When::later);
    }
    timer_.disarm(close_deadline_);
    timer_.disarm(reopen_deadline_);
    timer_.rest();
    disconnect();
    charged_.release();
    in_flight_ = 0; // no report comes any more
    in_flight_bytes_ = 0;
    idle_.wake_all(asio::error::operation_aborted);
    closed_.wake_all();
}

void ProducerCore::retire() {
    shut_down();
    membership_.leave();
}

void ProducerCore::disconnect() noexcept {
    for (const auto& session : {session_, alone_})
        if (session) session->disconnect();
    signal_.reset();
    session_.reset();
    alone_.reset();
}

// Also when it is closed: it has the executor until it is destroyed.
bool ProducerCore::detach() noexcept {
    state_ = State::closed;
    timer_.abandon();
    return true;
}

void ProducerCore::drop() noexcept {
    disconnect();
    const auto dropped = std::exchange(pool_, {}); // a handler may send on its way out, which is refused
    free_ = nullptr;
    for (const auto& operation : dropped) operation->forget_slots();
    for (const auto& operation : dropped) operation->reset();
    charged_.release();
    for (auto* const waiters : {&idle_, &closed_}) waiters->wake_all(asio::error::operation_aborted);
    executor_ = {}; // a strand of the context must not outlive it
}

} // namespace velostream::kafka::detail
