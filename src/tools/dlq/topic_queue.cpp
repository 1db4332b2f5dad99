// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "tools/dlq/letter_queue.hpp"
#include "velostream/async/time_source.hpp"

namespace velostream::dlq {

namespace {

// Few enough that a batch of the largest records has room in memory.
constexpr std::size_t batch_size = 200;
// A member that was killed holds up the next run for so long.
constexpr std::chrono::seconds session_timeout{10};
constexpr std::chrono::seconds commit_interval{1};
constexpr std::chrono::milliseconds look_up{50};

} // namespace

TopicQueue::TopicQueue(asio::io_context& io, Cluster cluster, std::string topic, std::string group)
    : io_(io), cluster_(std::move(cluster)), topic_(std::move(topic)), group_(std::move(group)), tick_(io) {
    throw_if_any(validate(kafka::ConsumerConfig{.bootstrap_servers = cluster_.brokers,
                                                .group_id = group_,
                                                .topics = {topic_},
                                                .properties = cluster_.properties}));
}

Result<void> TopicQueue::open(std::vector<kafka::OffsetRange> ranges) {
    for (const auto& range : ranges) {
        if (range.first == range.end) continue;
        ranges_[range.partition] = range;
        whole_ += static_cast<std::uint64_t>(range.end - range.first);
    }
    if (ranges_.empty()) return {};
    const kafka::ConsumerConfig config{.bootstrap_servers = cluster_.brokers,
                                       .group_id = group_,
                                       .topics = {topic_},
                                       .client_id = "velostream-dlq",
                                       .session_timeout = session_timeout,
                                       .commit_interval = commit_interval,
                                       .fetch_queue_bytes = 16 * mebibyte,
                                       .report_ends = true,
                                       .properties = cluster_.properties};
    consumer_.emplace(io_.get_executor(), config);
    return {};
}

// Of every partition that is ours all has been given out that was there at the beginning. Its position moves on over
// what was done in earlier runs and what is no record.
bool TopicQueue::is_over() {
    const auto ours = consumer_->assignment();
    for (const auto& position : ours) {
        const auto found = ranges_.find(position.partition);
        if (found == ranges_.end()) continue;
        auto& range = found->second;
        if (position.is_at_end) range.first = range.end;
    }
    return !ours.empty() && std::ranges::all_of(ours, [this](const kafka::PartitionPosition& position) {
        const auto found = ranges_.find(position.partition);
        return found == ranges_.end() || found->second.first >= found->second.end;
    });
}

// `next_batch` waits for records; this is what ends it where none come any more.
asio::awaitable<void> TopicQueue::watch() {
    const SteadyTime time;
    while (!is_stopped_) {
        tick_.expires_after(look_up);
        constexpr auto token = asio::as_tuple(asio::use_awaitable);
        const auto [stopped] = co_await tick_.async_wait(token);
        if (stopped || is_stopped_ || !is_waiting_) continue;
        if (is_over()) co_return consumer_->stop();
        if (time.now() - waits_since_ <= cluster_.timeout) continue;
        auto why = consumer_->get_stats().last_problem;
        if (why.empty()) why = consumer_->assignment().empty() ? "the group gives no partition" : "nothing came";
        failure_ = Error{Errc::broker_unreachable, "topic " + topic_ + ": " + why};
        co_return consumer_->stop();
    }
}

asio::awaitable<Result<std::span<const Letter>>> TopicQueue::next() {
    constexpr std::span<const Letter> none;
    if (!consumer_ && !is_stopped_) {
        const auto admin = admin_of(cluster_);
        auto held = co_await admin.offsets(topic_, cluster_.timeout);
        if (!held) co_return held.error();
        if (auto opened = open(std::move(*held)); !opened) co_return opened.error();
        if (consumer_) asio::co_spawn(io_, watch(), asio::detached);
    }
    if (!consumer_ || is_stopped_) co_return none;
    letters_.clear();
    for (;;) {
        batch_.clear();
        waits_since_ = SteadyTime{}.now();
        is_waiting_ = true;
        auto batch = co_await consumer_->next_batch(batch_size);
        is_waiting_ = false;
        if (failure_) co_return *failure_;
        if (!batch && batch.error() == Errc::consumer_closed) co_return none;
        if (!batch) co_return batch.error();
        keep_known(*batch);
        batch_ = std::move(*batch);
        for (const auto& record : batch_)
            letters_.push_back({{record.partition(), record.offset()}, record_view(record)});
        if (!letters_.empty()) co_return std::span<const Letter>{letters_};
        if (is_over()) co_return none; // and newer ones keep coming
    }
}

// What came after the beginning is for the next run.
void TopicQueue::keep_known(kafka::RecordBatch& batch) {
    std::erase_if(batch, [this](const kafka::ConsumedRecord& record) {
        const auto found = ranges_.find(record.partition());
        if (found == ranges_.end()) return true;
        auto& range = found->second;
        const bool is_new = record.offset() >= range.end;
        range.first = is_new ? range.end : std::max(range.first, record.offset() + 1);
        return is_new;
    });
}

asio::awaitable<Result<void>> TopicQueue::finish() {
    stop();
    if (!consumer_) co_return Result<void>{};
    batch_.clear();
    letters_.clear();
    const auto positions = consumer_->assignment();
    co_await consumer_->close();
    co_return check_remembered(positions);
}

// The last commit has nobody who hears how it ended, and one that failed may have been made up for: the group is asked.
Result<void> TopicQueue::check_remembered(std::span<const kafka::PartitionPosition> positions) const {
    std::vector<std::int32_t> partitions;
    for (const auto& position : positions)
        if (position.stored) partitions.push_back(position.partition);
    auto remembers_all = consumer_->get_stats().done_too_late == 0;
    if (!partitions.empty()) {
        const auto committed = committed_offsets(cluster_, topic_, group_, partitions);
        if (!committed) return committed.error();
        for (const auto& position : positions) {
            if (!position.stored) continue;
            const auto found = committed->find(position.partition);
            if (found == committed->end() || found->second < *position.stored) remembers_all = false;
        }
    }
    if (remembers_all) return {};
    return Error{Errc::operation_failed,
                 "the group " + group_ + " could not remember all that was done: some come again"};
}

void TopicQueue::stop() {
    is_stopped_ = true;
    tick_.cancel();
    if (consumer_) consumer_->stop();
}

std::pair<std::uint64_t, std::uint64_t> TopicQueue::progress() const {
    std::uint64_t left = 0;
    for (const auto& [partition, range] : ranges_) left += static_cast<std::uint64_t>(range.end - range.first);
    return {whole_ - left, whole_};
}

} // namespace velostream::dlq
