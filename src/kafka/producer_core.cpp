// SPDX-License-Identifier: Apache-2.0
#include "producer_core.hpp"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/errc.hpp>
#include <new>
#include <utility>

#include "client_conf.hpp"
#include "velostream/kafka/error.hpp"

namespace velostream::kafka::detail {

namespace {

constexpr Bytes memory_block = 8 * 1024;

Delivery delivery_of(const rd_kafka_message_t& report) noexcept {
    Delivery delivery{report.partition, report.offset, std::nullopt};
    auto type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    const auto timestamp = rd_kafka_message_timestamp(&report, &type);
    if (type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE) delivery.timestamp = WallTime{std::chrono::milliseconds{timestamp}};
    return delivery;
}

// Of a record that perhaps nobody waits for any more.
Error loss_of(const rd_kafka_message_t& report) {
    return {make_error_code(static_cast<KafkaErrc>(report.err)),
            "topic " + std::string{rd_kafka_topic_name(report.rkt)}};
}

} // namespace

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
    operation.place = SendOperation::Place::outside;
    operation.next = free_;
    free_ = &operation;
}

void ProducerCore::start(SendOperation& operation, Outgoing record, const CallContext* call) {
    operation.record = record;
    operation.bytes = record.size_bytes();
    operation.sequence = next_sequence_++;
    operation.started = timer_.coarse_now();
    operation.second_tries = {};
    ++attached_;
    try {
        begin(operation, call);
    } catch (const std::bad_alloc&) {
        if (!operation) throw; // it was about to be told
        const bool is_handed_over = operation.place == SendOperation::Place::handed_over;
        fail(operation,
             is_handed_over ? make_error_code(Errc::send_outcome_unknown)
                            : make_error_code(boost::system::errc::not_enough_memory),
             When::later);
        try {
            after_progress(); // its deadline may be all that the timer is set for
        } catch (const std::bad_alloc&) {
            return; // it comes, and calls nobody
        }
    }
}

void ProducerCore::begin(SendOperation& operation, const CallContext* call) {
    if (state_ != State::open) return fail(operation, Errc::producer_closed, When::later);

    auto deadline = saturating_add(operation.started, config_.delivery_timeout);
    if (call) deadline = std::min(deadline, call->deadline());
    watch_cancellation(operation, call);
    timer_.arm(operation, deadline);
    if (waiting_.empty() && !is_reopening_ && has_room_for(operation)) {
        hand_over(operation);
    } else {
        operation.place = SendOperation::Place::waiting;
        waiting_.push_back(operation);
    }
    if (operation)
        listen();
    else
        after_progress(); // it was refused at once
}

bool ProducerCore::has_room_for(const SendOperation& operation) noexcept {
    const auto bytes = in_flight_bytes_ + operation.bytes;
    const bool is_alone = in_flight_ == 0; // such a record goes, however large: nothing of ours could make room for it
    if (!is_alone && (in_flight_ >= config_.max_in_flight || bytes > config_.max_in_flight_bytes)) return false;
    return bytes <= charged_.bytes() || charge(bytes) || is_alone;
}

// In blocks, so that most sends touch no account; exactly where there is no room for a block. A refusal costs much more
// than a grant: after one, the account is asked again when as many turns have passed as records were in flight.
bool ProducerCore::charge(Bytes in_flight_bytes) noexcept {
    if (in_flight_ > 0 && turns_refused_ > 0) {
        --turns_refused_;
        return false;
    }
    const auto missing = in_flight_bytes - charged_.bytes();
    for (const auto more : {missing + memory_block, missing}) {
        auto room = account_.try_reserve(more);
        if (!room) continue;
        if (charged_.bytes() == 0)
            charged_ = std::move(*room);
        else
            charged_.merge(std::move(*room));
        return true;
    }
    turns_refused_ = in_flight_;
    return false;
}

void ProducerCore::give_memory_back() noexcept {
    const auto kept = in_flight_bytes_ == 0 ? 0 : in_flight_bytes_ + memory_block;
    if (charged_.bytes() > kept) charged_.shrink(charged_.bytes() - kept);
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
            if (in_flight_ == 0) give_memory_back();
            if (code == RD_KAFKA_RESP_ERR__FATAL) begin_reopen();
            return false;
        default:
            if (in_flight_ == 0) give_memory_back();
            fail(operation, FailureCause::refused(describe(operation), code, true), When::later);
            return true;
    }
}

// False if there is no second try, or none is possible now: the refusal stands.
bool ProducerCore::try_again(SendOperation& operation, int refusal) {
    auto& tries = operation.second_tries;
    const auto second_try = second_try_after(refusal, tries);
    if (second_try == SecondTry::none || transactions_ || is_reopening_ || state_ == State::closed) return false;
    const bool goes_alone = second_try == SecondTry::alone;
    (goes_alone ? tries.alone : tries.again) = true;
    auto* const session = tries.alone ? session_of_single_records() : session_.get();
    if (!session) return false;
    switch (session->produce(operation.record.view(), &operation)) {
        case RD_KAFKA_RESP_ERR_NO_ERROR:
            ++(goes_alone ? counts_.sent_alone : counts_.sent_again);
            return true;
        case RD_KAFKA_RESP_ERR__QUEUE_FULL: // as in `hand_over`; a batch of others is no place to be blamed in
            tries.alone = false;
            give_room_back(operation);
            operation.place = SendOperation::Place::waiting;
            waiting_.push_front(operation);
            return true;
        case RD_KAFKA_RESP_ERR__FATAL: // it is sent again, and not blamed
            begin_reopen();
            return false;
        default:
            return false;
    }
}

// Null where there are no threads or memory for it.
ProducerSession* ProducerCore::session_of_single_records() {
    try {
        if (!alone_) alone_ = new_session_of_single_records();
    } catch (const std::exception&) {
        return nullptr;
    }
    return alone_.get();
}

void ProducerCore::hand_over_waiting() {
    while (!waiting_.empty() && !is_reopening_ && session_ && has_room_for(waiting_.front())) {
        auto& operation = waiting_.front();
        leave_queue(operation);
        if (!hand_over(operation)) return;
    }
}

void ProducerCore::watch_cancellation(SendOperation& operation, const CallContext* call) {
    const auto slot = operation.slot();
    if (slot.is_connected()) operation.watch_caller();
    if (!call) return;
    const auto call_slot = call->caller_slot();
    if (call_slot == slot) return; // a coroutine that hands on its own
    if (call_slot.is_connected()) operation.watch_call(call_slot);
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
    operation.clear_slots();
    release(operation);
    operation.complete(executor_, when, std::move(error));
}

// The caller is told later, through its executor: were it called here, what it throws would keep those behind it
// waiting.
void ProducerCore::give_up(SendOperation& operation, Error error) {
    const auto keep = self();
    if (operation.place == SendOperation::Place::handed_over) lose(error);
    fail(operation, std::move(error), When::later);
    hand_over_waiting(); // a large record at the front may have held up smaller ones
    after_progress();
}

void ProducerCore::expire(SendOperation& operation) {
    auto send = describe(operation);
    if (operation.place == SendOperation::Place::handed_over)
        return give_up(operation, cause_.perhaps_written(send, timer_.coarse_now()));
    send.topic += ", still waiting for its turn";
    give_up(operation, cause_.not_written_in_time(send, timer_.coarse_now()));
}

void ProducerCore::cancel(SendOperation& operation) {
    Error error{Errc::cancelled};
    if (operation.place == SendOperation::Place::handed_over) error = error.with_inner(Errc::send_outcome_unknown);
    give_up(operation, std::move(error));
}

// Events

void ProducerCore::listen() {
    if (signal_) signal_->listen();
}

// Whether somebody waits for events; otherwise nothing of ours keeps the execution context running.
bool ProducerCore::is_wanted() const {
    return state_ != State::closed && (attached_ > 0 || state_ == State::closing || idle_.size() > 0 || transactions_);
}

void ProducerCore::on_events() {
    if (!signal_) return;
    const auto keep = self(); // a handler may shut us down
    const auto session = session_;
    is_serving_ = true;
    session->serve();
    if (const auto alone = alone_; alone && signal_ && !thrown_) alone->serve();
    is_serving_ = false;
    if (const auto thrown = std::exchange(thrown_, nullptr)) {
        asio::post(executor_, [self = keep] { self->on_events(); }); // the reports after the one whose handler threw
        std::rethrow_exception(thrown);
    }
    if (in_flight_ == 0) hand_over_waiting(); // during its report the client still counted the last one, and was full
    after_progress();
}

// Called by the client library, so nothing may be thrown through it. False: no more reports now.
bool ProducerCore::on_report(const rd_kafka_message_t& report) noexcept {
    try {
        settle(*static_cast<SendOperation*>(report._private), report);
    } catch (...) {
        thrown_ = std::current_exception();
    }
    return signal_ && !thrown_;
}

void ProducerCore::on_problem(int code, const char* text) noexcept {
    if (code == RD_KAFKA_RESP_ERR__FATAL) return begin_reopen();
    cause_.note(code, text);
}

void ProducerCore::settle(SendOperation& operation, const rd_kafka_message_t& report) {
    if (report.err == RD_KAFKA_RESP_ERR_NO_ERROR) return settle_written(operation, report);
    if (operation && try_again(operation, report.err)) return;
    give_room_back(operation);
    const bool comes_again = transactions_ && lose(loss_of(report)); // in another transaction
    if (!operation) return recycle(operation);
    if (is_reopening_ && !transactions_ && rd_kafka_message_status(&report) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED) {
        operation.place = SendOperation::Place::returned;
        operation.second_tries.alone = false;
        return returned_.push_back(operation);
    }
    fail(operation, failure_of(operation, report, comes_again), When::now);
}

void ProducerCore::settle_written(SendOperation& operation, const rd_kafka_message_t& report) {
    // Complete before anything is written to the operation, which mostly lies in no cache: a copy of what was just put
    // together waits for every write before it, and those to the operation take a hundred nanoseconds.
    operation.fetch_for_writing();
    Result<Delivery> delivery{delivery_of(report)};

    if (cause_.is_in_force()) cause_.note_success(timer_.coarse_now());
    give_room_back(operation);
    if (!operation) {
        ++counts_.late_deliveries;
        return recycle(operation);
    }
    ++counts_.sent;
    operation.clear_slots();
    release(operation);
    operation.complete(executor_, When::now, std::move(delivery));
}

// First to those who wait: they came before whatever this send's caller does next.
void ProducerCore::give_room_back(SendOperation& operation) {
    --in_flight_;
    in_flight_bytes_ -= operation.bytes;
    if (in_flight_bytes_ == 0 || charged_.bytes() > in_flight_bytes_ + 2 * memory_block) give_memory_back();
    operation.place = SendOperation::Place::outside;
    if (!waiting_.empty()) hand_over_waiting();
}

void ProducerCore::after_progress() {
    if (is_serving_ || state_ == State::closed) return;
    reopen_when_empty();
    if (is_idle()) {
        idle_.wake_all();
        if (state_ == State::closing) return shut_down();
    }
    if (is_wanted()) return listen();
    if (signal_) signal_->rest();
    timer_.rest();
}

FailureCause::Send ProducerCore::describe(const SendOperation& operation) {
    return {std::string{operation.record.topic()}, operation.started};
}

Error ProducerCore::failure_of(const SendOperation& operation, const rd_kafka_message_t& report,
                               bool comes_again) const {
    const bool is_certain = rd_kafka_message_status(&report) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
    const auto send = describe(operation);
    if (report.err == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT)
        return is_certain ? cause_.not_written_in_time(send, timer_.coarse_now())
                          : cause_.perhaps_written(send, timer_.coarse_now());
    if (is_reopening_ && !is_certain) return cause_.perhaps_written(send, timer_.coarse_now());
    return FailureCause::refused(send, report.err, is_certain, comes_again);
}

ProducerStats ProducerCore::stats() const {
    auto stats = counts_;
    stats.in_flight = in_flight_;
    stats.in_flight_bytes = in_flight_bytes_;
    stats.in_flight_limit = config_.max_in_flight_bytes;
    stats.charged = charged_.bytes();
    for (const auto& session : {session_, alone_})
        if (session) stats.queued += session->queued();
    stats.waiting = waiting_.size() + returned_.size();
    stats.last_problem = cause_.current();
    return stats;
}

SendHandler& new_send(ProducerCore& core) {
    return core.allocate();
}

void forget_send(ProducerCore& core, SendHandler& handler) noexcept {
    core.recycle(static_cast<SendOperation&>(handler));
}

const asio::any_io_executor& executor_of(const ProducerCore& core) noexcept {
    return core.executor();
}

void start_send(ProducerCore& core, SendHandler& handler, Outgoing record, const CallContext* call) {
    core.start(static_cast<SendOperation&>(handler), record, call);
}

} // namespace velostream::kafka::detail
