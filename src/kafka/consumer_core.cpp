// SPDX-License-Identifier: Apache-2.0
#include "consumer_core.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <new>
#include <span>
#include <utility>

#include "async/background.hpp"
#include "velostream/kafka/error.hpp"

namespace velostream::kafka::detail {

namespace {

std::span<const rd_kafka_topic_partition_t> elements_of(const rd_kafka_topic_partition_list_t& list) noexcept {
    return {list.elems, static_cast<std::size_t>(list.cnt)};
}

} // namespace

ConsumerCore::ConsumerCore(asio::any_io_executor executor, const ConsumerConfig& config, Keeper* keeper)
    : config_(config),
      executor_(std::move(executor)),
      timer_(executor_),
      records_owner_(*this),
      events_signal_(std::in_place, executor_, static_cast<EventSignal::Owner&>(*this)),
      records_signal_(std::in_place, executor_, static_cast<EventSignal::Owner&>(records_owner_)),
      session_(std::make_shared<ConsumerSession>(config_, *events_signal_, *records_signal_)),
      keeper_(keeper),
      tick_(*this, &ConsumerCore::on_tick),
      memory_deadline_(*this, &ConsumerCore::serve),
      departure_deadline_(*this, &ConsumerCore::give_up_departure) {}

ConsumerCore::~ConsumerCore() = default;

void ConsumerCore::open() {
    if (!membership_.join(executor_, shared_from_this())) return shut_down();
    events_signal_->listen();
    on_tick();
}

// Records

const ConsumedRecord* ConsumerCore::front() {
    if (is_paused_ || is_closed_) return nullptr;
    while (!front_) {
        if (chunk_next_ == chunk_end_) {
            chunk_next_ = 0;
            chunk_end_ = session_->take_messages(chunk_);
            if (chunk_end_ == 0) {
                listen_to(*records_signal_);
                return nullptr;
            }
            if (keeper_) note_first();
        }
        accept(*std::exchange(chunk_[chunk_next_++], nullptr));
    }
    return &*front_;
}

// Of the whole chunk: what lies there and was given to nobody is forgotten, too, when reading begins again.
void ConsumerCore::note_first() noexcept {
    for (const auto* message : std::span{chunk_}.first(chunk_end_)) {
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) continue;
        auto* const partition = partition_of(*message);
        if (partition && !partition->first) partition->first = message->offset;
    }
}

void ConsumerCore::accept(rd_kafka_message_t& message) {
    auto* const partition = partition_of(message);
    if (message.err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (!partition) return rd_kafka_message_destroy(&message);
        partition->is_at_end = true;
        partition->next = message.offset;
    } else if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        note_problem(message.err, rd_kafka_message_errstr(&message));
    } else if (partition) {
        partition->is_at_end = false;
        partition->next = message.offset + 1;
        ++counts_.records;
        read_bytes_ += message.len + message.key_len;
        front_.emplace(&message, partition->shared_from_this(), partition->progress.read(message.offset));
        return;
    }
    rd_kafka_message_destroy(&message);
}

AssignedPartition* ConsumerCore::partition_of(const rd_kafka_message_t& message) noexcept {
    if (!message.rkt) return nullptr;
    const auto matches = [&message](const AssignedPartition& partition) {
        return partition.partition == message.partition && partition.topic == rd_kafka_topic_name(message.rkt);
    };
    if (last_partition_ && matches(*last_partition_)) return last_partition_;
    const auto found = std::ranges::find_if(partitions_, [&](const auto& partition) { return matches(*partition); });
    last_partition_ = found == partitions_.end() ? nullptr : found->get();
    return last_partition_;
}

ConsumedRecord ConsumerCore::take_front() {
    ConsumedRecord record{std::move(*front_)};
    front_.reset();
    return record;
}

void ConsumerCore::done(const ConsumedRecord& record) {
    auto& partition = AssignedPartition::of(record);
    if (partition.is_revoked) {
        ++counts_.done_too_late;
        return;
    }
    ++counts_.done;
    partition.progress.done(AssignedPartition::number_of(record));
}

void ConsumerCore::store_positions() {
    if (!session_ || keeper_) return;
    std::vector<ConsumerSession::Position> positions;
    for (const auto& partition : partitions_) {
        const auto position = partition->progress.position();
        if (!position || position == partition->stored) continue;
        partition->stored = position;
        positions.push_back({partition->topic, partition->partition, *position});
    }
    session_->store(positions);
}

// Events

void ConsumerCore::on_events() {
    if (!events_signal_) return;
    const auto keep = self(); // a handler may destroy the consumer
    while (Event event{session_->poll()}) handle(std::move(event));
    serve();
    if (events_signal_) listen_to(*events_signal_);
}

// Where there is no memory for it, the next tick is another try.
void ConsumerCore::listen_to(EventSignal& signal) noexcept {
    try {
        signal.listen();
    } catch (const std::bad_alloc&) {
    }
}

// Polling is also what tells the group that we are alive.
void ConsumerCore::on_tick() {
    const auto keep = self();
    store_positions();
    on_events();
    if (!events_signal_) return;
    const auto interval =
        std::clamp<Duration>(config_.commit_interval / 2, std::chrono::milliseconds{10}, std::chrono::seconds{1});
    timer_.arm(tick_, timer_.now() + interval);
}

void ConsumerCore::handle(Event event) {
    switch (rd_kafka_event_type(event.get())) {
        case RD_KAFKA_EVENT_REBALANCE:
            return on_rebalance(std::move(event));
        case RD_KAFKA_EVENT_OFFSET_COMMIT: {
            const auto code = rd_kafka_event_error(event.get());
            if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return;
            ++counts_.failed_commits;
            counts_.last_problem = std::string{"commit: "} + rd_kafka_err2str(code);
            return;
        }
        case RD_KAFKA_EVENT_ERROR:
            return note_problem(rd_kafka_event_error(event.get()), rd_kafka_event_error_string(event.get()));
        default:
            return;
    }
}

void ConsumerCore::on_rebalance(Event event) {
    ++counts_.rebalances;
    const auto& partitions = *rd_kafka_event_topic_partition_list(event.get());
    if (rd_kafka_event_error(event.get()) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        if (keeper_) group_membership_ = session_->membership();
        on_given(partitions);
        session_->assign(partitions);
        return;
    }
    asked_back_ = std::move(event);
    if (!keeper_ || keeper_->lets_go(session_->is_assignment_lost())) let_go();
}

void ConsumerCore::let_go() {
    if (!session_) return asked_back_.reset();
    const Event event = std::move(asked_back_);
    if (!event) return;
    const auto& partitions = *rd_kafka_event_topic_partition_list(event.get());
    group_membership_.reset();
    on_taken(partitions);
    session_->unassign(partitions);
}

void ConsumerCore::forget_what_was_read() {
    std::vector<std::shared_ptr<AssignedPartition>> anew;
    for (const auto& ours : partitions_) {
        if (!ours->first) { // nothing was read, and perhaps nothing sought: its end may not be told again
            anew.push_back(ours);
            continue;
        }
        anew.push_back(std::make_shared<AssignedPartition>(session_, ours->topic, ours->partition));
        anew.back()->stored = ours->stored;
        ours->is_revoked = true;
    }
    forget_revoked();
    partitions_ = std::move(anew);
}

void ConsumerCore::on_given(const rd_kafka_topic_partition_list_t& partitions) {
    for (const auto& given : elements_of(partitions)) {
        session_->route(given.topic, given.partition);
        partitions_.push_back(std::make_shared<AssignedPartition>(session_, given.topic, given.partition));
    }
}

// What is done is stored before the partitions go; the client library commits it on the way.
void ConsumerCore::on_taken(const rd_kafka_topic_partition_list_t& partitions) {
    store_positions();
    const auto is_taken = [&partitions](const std::shared_ptr<AssignedPartition>& ours) {
        return std::ranges::any_of(elements_of(partitions), [&](const auto& taken) {
            return taken.partition == ours->partition && ours->topic == taken.topic;
        });
    };
    for (const auto& ours : partitions_)
        if (is_taken(ours)) ours->is_revoked = true;
    forget_revoked();
}

void ConsumerCore::forget_revoked() noexcept {
    forget_chunk_of_revoked();
    std::erase_if(partitions_, [](const auto& ours) { return ours->is_revoked; });
    last_partition_ = nullptr;
}

// The partition may come back at once, and must not see what was read before.
void ConsumerCore::forget_chunk_of_revoked() noexcept {
    if (front_ && AssignedPartition::of(*front_).is_revoked) front_.reset();
    const auto left = std::span{chunk_}.subspan(chunk_next_, chunk_end_ - chunk_next_);
    auto* kept = left.data();
    for (auto* message : left) {
        const auto* partition = partition_of(*message);
        if (partition && partition->is_revoked) {
            rd_kafka_message_destroy(message);
        } else {
            *kept++ = message;
        }
    }
    chunk_end_ = static_cast<std::size_t>(kept - chunk_.data());
}

void ConsumerCore::note_problem(int code, std::string text) {
    counts_.last_problem = std::move(text);
    const auto error_code = make_error_code(static_cast<KafkaErrc>(code));
    const auto type = classify(error_code);
    const bool is_mended_by_itself = type != ErrorType::authorization && type != ErrorType::authentication &&
                                     type != ErrorType::fatal && type != ErrorType::bad_request;
    if (!is_mended_by_itself) failure_ = Error{error_code, counts_.last_problem};
}

// Giving out

void ConsumerCore::serve() {
    is_serve_posted_ = false;
    const auto keep = self(); // a handler may destroy the consumer
    if (loop_) return loop_->serve();
    if (batch_waiters_.size() > 0 && (front() || failure_)) batch_waiters_.wake_one();
}

void ConsumerCore::serve_later() {
    if (std::exchange(is_serve_posted_, true)) return;
    asio::post(executor_, [self = self()] { self->serve(); });
}

void ConsumerCore::serve_when_memory_may_be_free() {
    constexpr auto moment = std::chrono::milliseconds{10};
    if (!is_closed_ && !memory_deadline_.is_armed()) timer_.arm(memory_deadline_, timer_.now() + moment);
}

bool ConsumerCore::attach(RecordLoop& loop) noexcept {
    if (loop_) return false;
    loop_ = &loop;
    return true;
}

void ConsumerCore::detach(const RecordLoop& loop) noexcept {
    if (loop_ == &loop) loop_ = nullptr;
}

void ConsumerCore::resume() {
    is_paused_ = false;
    serve_later();
}

void ConsumerCore::stop() {
    is_stopped_ = true;
    if (loop_) loop_->end(std::nullopt);
    batch_waiters_.wake_all();
}

// Life

std::shared_ptr<ConsumerCore::Departure> ConsumerCore::begin_close() {
    shut_down();
    ++closing_;
    return departure_;
}

void ConsumerCore::wake_departure_at(TimePoint at) {
    if (departure_deadline_.is_armed() && departure_wakes_at_ <= at) return;
    departure_wakes_at_ = at;
    timer_.arm(departure_deadline_, at);
}

void ConsumerCore::give_up_departure() {
    departure_->waiters.wake_all();
}

void ConsumerCore::end_close() noexcept {
    if (--closing_ > 0) return;
    timer_.disarm(departure_deadline_);
    timer_.rest();
    if (is_retired_) membership_.leave();
}

void ConsumerCore::shut_down() noexcept {
    if (is_closed_) return;
    const auto keep = self();
    stop();
    store_positions();
    is_closed_ = true;
    timer_.disarm(tick_);
    timer_.disarm(memory_deadline_);
    timer_.rest();
    leave_group();
}

void ConsumerCore::retire() noexcept {
    shut_down();
    is_retired_ = true;
    if (closing_ == 0) membership_.leave(); // else with the last close, whose time is still being watched
}

void ConsumerCore::leave_group() noexcept {
    if (!session_) return;
    session_->disconnect();
    events_signal_.reset();
    records_signal_.reset();
    let_go(); // or the group would wait for an answer
    for (const auto& partition : partitions_) partition->is_revoked = true;
    partitions_.clear();
    front_.reset();
    while (chunk_next_ != chunk_end_) rd_kafka_message_destroy(chunk_[chunk_next_++]);
    run_in_background([session = std::move(session_), departure = departure_]() mutable {
        session->leave_group();
        session.reset();
        departure->is_over = true;
        departure->waiters.wake_all();
    });
}

// Also when it is closed: it has the executor until it is destroyed.
bool ConsumerCore::detach() noexcept {
    is_closed_ = true;
    timer_.abandon();
    return true;
}

void ConsumerCore::drop() noexcept {
    leave_group();
    executor_ = {}; // a strand of the context must not outlive it
}

// Of what the client holds it tells only how many they are.
ConsumerStats ConsumerCore::stats() const {
    auto stats = counts_;
    if (!session_) return stats;
    stats.queued = session_->queued() + (chunk_end_ - chunk_next_) + (front_ ? 1 : 0);
    if (stats.records > 0)
        stats.queued_bytes = static_cast<Bytes>(static_cast<double>(read_bytes_) / static_cast<double>(stats.records) *
                                                static_cast<double>(stats.queued));
    stats.queue_limit = session_->queue_limit();
    return stats;
}

std::vector<PartitionPosition> ConsumerCore::assignment() const {
    std::vector<PartitionPosition> positions;
    positions.reserve(partitions_.size());
    for (const auto& partition : partitions_) {
        const bool has_front = front_ && &AssignedPartition::of(*front_) == partition.get();
        positions.push_back({partition->topic, partition->partition, has_front ? front_->offset() : partition->next,
                             partition->progress.position(), partition->progress.open(), partition->is_at_end});
    }
    return positions;
}

bool ConsumerCore::end_reached() const {
    return !partitions_.empty() && std::ranges::all_of(partitions_, &AssignedPartition::is_at_end,
                                                       [](const auto& partition) -> auto& { return *partition; });
}

} // namespace velostream::kafka::detail
