// SPDX-License-Identifier: Apache-2.0
#include "producer_core.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <span>
#include <utility>

#include "client_conf.hpp"
#include "velostream/kafka/error.hpp"

namespace velostream::kafka::detail {

// What a cancellation slot calls. The operation may have been used again since; then its generation differs.
class ProducerCore::Cancel {
  public:
    explicit Cancel(SendOperation& operation) noexcept : operation_(&operation), generation_(operation.generation) {}

    void operator()(asio::cancellation_type) const {
        if (operation_->generation == generation_) operation_->core.cancel(*operation_);
    }

  private:
    SendOperation* operation_;
    std::uint64_t generation_;
};

ProducerCore::ProducerCore(asio::any_io_executor executor, const ProducerConfig& config)
    : config_(config),
      executor_(std::move(executor)),
      timer_(executor_),
      signal_(std::in_place, executor_),
      session_(std::make_shared<ProducerSession>(config_, *signal_)),
      close_deadline_(*this, &ProducerCore::shut_down),
      reopen_deadline_(*this, &ProducerCore::after_progress) {}

ProducerCore::~ProducerCore() = default;

void ProducerCore::join_context() {
    if (!membership_.join(executor_, shared_from_this())) shut_down();
}

// Sends

SendOperation& ProducerCore::allocate() {
    if (!free_) {
        pool_.push_back(std::make_unique<SendOperation>(*this));
        free_ = pool_.back().get();
    }
    auto& operation = *free_;
    free_ = operation.next;
    return operation;
}

void ProducerCore::recycle(SendOperation& operation) noexcept {
    ++operation.generation;
    operation.record = {};
    operation.call_slot = {};
    operation.place = SendOperation::Place::outside;
    operation.next = free_;
    free_ = &operation;
}

void ProducerCore::start(SendOperation& operation, Outgoing record, const CallContext* call) {
    operation.record = record;
    operation.bytes = record.size_bytes();
    operation.sequence = next_sequence_++;
    operation.started = timer_.coarse_now();
    ++attached_;
    if (state_ != State::open) return fail(operation, Errc::producer_closed, When::later);

    auto deadline = operation.started + config_.delivery_timeout;
    if (call) deadline = std::min(deadline, call->deadline());
    watch_cancellation(operation, call);
    timer_.arm(operation, deadline);
    if (waiting_.empty() && !is_reopening_ && has_room_for(operation)) {
        hand_over(operation);
    } else {
        operation.place = SendOperation::Place::waiting;
        waiting_.push_back(operation);
    }
    listen();
}

bool ProducerCore::has_room_for(const SendOperation& operation) const noexcept {
    if (in_flight_ == 0) return true; // a record larger than the whole budget goes alone
    return in_flight_ < config_.max_in_flight && in_flight_bytes_ + operation.bytes <= config_.max_in_flight_bytes;
}

// False if nothing more can be handed over now.
bool ProducerCore::hand_over(SendOperation& operation) {
    const auto code = session_->produce(operation.record.view(), &operation);
    switch (code) {
        case RD_KAFKA_RESP_ERR_NO_ERROR:
            operation.place = SendOperation::Place::handed_over;
            ++in_flight_;
            in_flight_bytes_ += operation.bytes;
            return true;
        case RD_KAFKA_RESP_ERR__FATAL:
        case RD_KAFKA_RESP_ERR__QUEUE_FULL: // only if the user's properties set a limit below ours
            operation.place = SendOperation::Place::waiting;
            waiting_.push_front(operation);
            if (code == RD_KAFKA_RESP_ERR__FATAL) begin_reopen();
            return false;
        default:
            fail(operation, FailureCause::refused(describe(operation), code, true), When::later);
            return true;
    }
}

void ProducerCore::hand_over_waiting() {
    while (!waiting_.empty() && !is_reopening_ && session_ && has_room_for(waiting_.front())) {
        auto& operation = waiting_.front();
        leave_queue(operation);
        if (!hand_over(operation)) return;
    }
}

void ProducerCore::watch_cancellation(SendOperation& operation, const CallContext* call) {
    if (auto slot = operation.slot(); slot.is_connected()) slot.assign(Cancel{operation});
    operation.call_slot = call ? call->cancellation_slot() : asio::cancellation_slot{};
    if (operation.call_slot.is_connected()) operation.call_slot.assign(Cancel{operation});
}

void ProducerCore::clear_slots(SendOperation& operation) noexcept {
    if (auto slot = operation.slot(); slot.is_connected()) slot.clear();
    if (operation.call_slot.is_connected()) operation.call_slot.clear();
}

void ProducerCore::leave_queue(SendOperation& operation) noexcept {
    if (operation.place == SendOperation::Place::waiting) waiting_.erase(operation);
    if (operation.place == SendOperation::Place::returned) returned_.erase(operation);
    operation.place = SendOperation::Place::outside;
}

// Takes the operation off its caller: it is free, or goes on alone until its delivery report. The handler is still in
// it, and must be taken out before the next send begins.
void ProducerCore::release(SendOperation& operation) noexcept {
    timer_.disarm(operation);
    --attached_;
    if (operation.place == SendOperation::Place::handed_over) return;
    leave_queue(operation);
    recycle(operation);
}

void ProducerCore::fail(SendOperation& operation, Error error, When when) {
    ++counts_.failed;
    if (operation.place == SendOperation::Place::handed_over) ++counts_.given_up;
    clear_slots(operation);
    release(operation);
    operation.complete(executor_, when, std::move(error));
}

void ProducerCore::expire(SendOperation& operation) {
    const auto keep = self();
    const bool is_handed_over = operation.place == SendOperation::Place::handed_over;
    auto send = describe(operation);
    if (!is_handed_over) send.topic += ", still waiting for its turn";
    fail(operation,
         is_handed_over ? cause_.perhaps_written(send, timer_.coarse_now())
                        : cause_.not_written_in_time(send, timer_.coarse_now()),
         When::now);
    if (!is_handed_over) hand_over_waiting(); // a large record at the front may have held up smaller ones
    after_progress();
}

// Runs inside the emission of a slot, which must not be cleared before that has returned.
void ProducerCore::cancel(SendOperation& operation) {
    if (!operation) return; // its caller was called already
    ++counts_.failed;
    Error error{Errc::cancelled};
    if (operation.place == SendOperation::Place::handed_over) {
        ++counts_.given_up;
        error = error.with_inner(Errc::send_outcome_unknown);
    }
    auto slots = std::pair{operation.slot(), operation.call_slot};
    release(operation);
    SendHandler handler{std::move(static_cast<SendHandler&>(operation))};
    asio::post(executor_, [self = self(), slots, handler = std::move(handler), error]() mutable {
        if (slots.first.is_connected()) slots.first.clear();
        if (slots.second.is_connected()) slots.second.clear();
        handler.complete(self->executor_, When::now, std::move(error));
        self->hand_over_waiting();
        self->after_progress();
    });
}

// Events

void ProducerCore::listen() {
    if (is_listening_ || !signal_) return;
    is_listening_ = true;
    signal_->async_wait([self = self()](const boost::system::error_code& code) {
        self->is_listening_ = false;
        if (!code) {
            self->on_events();
        } else if (self->is_wanted()) {
            self->listen();
        }
    });
}

// Whether somebody waits for events; otherwise nothing of ours keeps the execution context running.
bool ProducerCore::is_wanted() const {
    return state_ != State::closed && (attached_ > 0 || state_ == State::closing || idle_.size() > 0);
}

void ProducerCore::on_events() {
    if (!signal_) return;
    // A completion handler may shut us down: the events outlive that, and need their client. It may also throw: what is
    // left of the event is served then by the next turn.
    const auto keep = self();
    const auto session = session_;
    struct Finally {
        ProducerCore& core;
        bool is_done = false;
        ~Finally() {
            if (!core.signal_) {
                core.event_.reset();
                core.reports_next_ = core.reports_end_ = 0;
            } else if (!is_done) {
                core.continue_later();
            }
        }
    } finally{*this};

    constexpr int events_per_turn = 16;
    signal_->clear();
    for (int served = 0; served < events_per_turn; ++served) {
        if (serve_next_event()) continue;
        finally.is_done = true;
        return after_progress();
    }
}

void ProducerCore::continue_later() {
    asio::post(executor_, [self = self()] { self->on_events(); });
}

// False if there was none, or if the producer was shut down.
bool ProducerCore::serve_next_event() {
    if (!signal_) return false;
    if (!event_) event_.reset(session_->poll());
    if (!event_) return false;
    switch (rd_kafka_event_type(event_.get())) {
        case RD_KAFKA_EVENT_DR:
            while (const auto* report = next_report()) {
                settle(*static_cast<SendOperation*>(report->_private), *report);
                if (!signal_) return false;
            }
            break;
        case RD_KAFKA_EVENT_ERROR:
            note_problem(*event_);
            break;
        default:
            break;
    }
    event_.reset();
    return true;
}

// What belongs to thousands of sends is not in the processor's cache. It is fetched for a chunk of them together: one
// at a time, that alone costs more than everything else that is done for a report.
const rd_kafka_message_t* ProducerCore::next_report() noexcept {
    if (reports_next_ == reports_end_) {
        reports_next_ = 0;
        reports_end_ = rd_kafka_event_message_array(event_.get(), reports_.data(), reports_.size());
        const auto reports = std::span{reports_}.first(reports_end_);
        for (const auto* report : reports) __builtin_prefetch(report->_private, 1);
        for (const auto* report : reports) static_cast<const SendOperation*>(report->_private)->prefetch();
    }
    return reports_next_ == reports_end_ ? nullptr : reports_[reports_next_++];
}

void ProducerCore::settle(SendOperation& operation, const rd_kafka_message_t& report) {
    --in_flight_;
    in_flight_bytes_ -= operation.bytes;
    operation.place = SendOperation::Place::outside;
    const bool is_written = report.err == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (is_written && cause_.is_in_force()) cause_.note_success(timer_.coarse_now());
    if (!waiting_.empty()) hand_over_waiting(); // they came before whatever this send's caller does next

    if (!operation) {
        if (is_written) ++counts_.late_deliveries;
        return recycle(operation);
    }
    if (is_written) {
        ++counts_.sent;
        Delivery delivery{report.partition, report.offset, std::nullopt};
        auto type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        const auto timestamp = rd_kafka_message_timestamp(&report, &type);
        if (type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE)
            delivery.timestamp = WallTime{std::chrono::milliseconds{timestamp}};
        clear_slots(operation);
        release(operation);
        return operation.complete(executor_, When::now, std::move(delivery));
    }
    if (is_reopening_ && rd_kafka_message_status(&report) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED) {
        operation.place = SendOperation::Place::returned;
        return returned_.push_back(operation);
    }
    fail(operation, failure_of(operation, report), When::now);
}

void ProducerCore::note_problem(rd_kafka_event_t& event) {
    if (rd_kafka_event_error_is_fatal(&event)) return begin_reopen();
    cause_.note(rd_kafka_event_error(&event), rd_kafka_event_error_string(&event));
}

void ProducerCore::after_progress() {
    if (event_ || state_ == State::closed) return;
    reopen_when_empty();
    if (is_idle() && returned_.empty()) {
        idle_.wake_all();
        if (state_ == State::closing) return shut_down();
    }
    if (is_wanted()) return listen();
    if (is_listening_) signal_->cancel();
    timer_.rest();
}

FailureCause::Send ProducerCore::describe(const SendOperation& operation) {
    return {std::string{operation.record.topic()}, operation.started};
}

Error ProducerCore::failure_of(const SendOperation& operation, const rd_kafka_message_t& report) const {
    const bool is_certain = rd_kafka_message_status(&report) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
    const auto send = describe(operation);
    if (report.err == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT)
        return is_certain ? cause_.not_written_in_time(send, timer_.coarse_now())
                          : cause_.perhaps_written(send, timer_.coarse_now());
    if (is_reopening_ && !is_certain) return cause_.perhaps_written(send, timer_.coarse_now());
    return FailureCause::refused(send, report.err, is_certain);
}

// Life

// Records come back in the order in which they would have been sent; those that are certainly not written are handed
// over again, before any later one, so that no partition sees an older record after a newer one.
void ProducerCore::begin_reopen() {
    if (is_reopening_) return;
    is_reopening_ = true;
    ++counts_.reopened;
    cause_.note(RD_KAFKA_RESP_ERR__FATAL, session_->fatal_error());
    session_->purge();
}

void ProducerCore::reopen_when_empty() {
    if (!is_reopening_ || in_flight_ > 0 || reopen_deadline_.is_armed()) return;
    try {
        session_ = std::make_shared<ProducerSession>(config_, *signal_);
    } catch (const std::exception& problem) { // out of threads or memory: worth another try
        cause_.note(RD_KAFKA_RESP_ERR__FATAL, problem.what());
        return timer_.arm(reopen_deadline_, timer_.now() + std::chrono::milliseconds{500});
    }
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

void ProducerCore::begin_close(Duration grace) {
    if (state_ != State::open) return;
    state_ = State::closing;
    timer_.arm(close_deadline_, timer_.now() + grace);
    after_progress();
}

void ProducerCore::shut_down() {
    if (state_ == State::closed) return;
    const auto keep = self();
    state_ = State::closed;
    membership_.leave();
    for (const auto& operation : pool_) {
        if (!*operation) continue;
        Error error{Errc::producer_closed};
        if (operation->place == SendOperation::Place::handed_over) error = error.with_inner(Errc::send_outcome_unknown);
        fail(*operation, std::move(error), When::later);
    }
    timer_.disarm(close_deadline_);
    timer_.disarm(reopen_deadline_);
    timer_.rest();
    signal_.reset();
    session_.reset();
    idle_.wake_all(asio::error::operation_aborted);
    closed_.wake_all();
}

bool ProducerCore::detach() noexcept {
    return std::exchange(state_, State::closed) != State::closed;
}

void ProducerCore::drop() noexcept {
    timer_.abandon();
    signal_.reset();
    for (const auto& operation : pool_) operation->reset();
    event_.reset();
    session_.reset();
}

ProducerStats ProducerCore::stats() const {
    auto stats = counts_;
    stats.in_flight = in_flight_;
    stats.in_flight_bytes = in_flight_bytes_;
    stats.waiting = waiting_.size() + returned_.size();
    stats.last_problem = cause_.current();
    return stats;
}

SendHandler& new_send(ProducerCore& core) {
    return core.allocate();
}

const asio::any_io_executor& executor_of(const ProducerCore& core) noexcept {
    return core.executor();
}

void start_send(ProducerCore& core, SendHandler& handler, Outgoing record, const CallContext* call) {
    core.start(static_cast<SendOperation&>(handler), record, call);
}

} // namespace velostream::kafka::detail
