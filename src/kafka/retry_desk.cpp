// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/detail/retry_desk.hpp"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "velostream/async/call_context.hpp"
#include "velostream/base/stack_trace.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/kafka/error.hpp"

namespace velostream::kafka::detail {

namespace {

constexpr std::size_t longest_topic_name = 249;

WallTime wall_now() {
    return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

std::string suffix_of(const ReprocessConfig& config, const RetryTopicsOptions& options) {
    if (!options.suffix.empty()) return options.suffix;
    return "-retry-" + std::to_string(std::chrono::ceil<std::chrono::milliseconds>(config.retry_delay).count());
}

std::vector<ConfigProblem> problems_of(const ConsumerConfig& source, const DeadLetterQueueConfig& letters,
                                       const ReprocessConfig& config, const std::string& suffix) {
    auto problems = validate(config);
    const auto of_source = validate(source);
    problems.insert(problems.end(), of_source.begin(), of_source.end());
    if (config.mode != Reprocess::topic)
        problems.push_back(
            {"mode", "not topic", "RetryTopics is for Reprocess::topic, RecordProcessor for the others"});
    if (config.max_retries >= most_attempts)
        problems.push_back({"max_retries", std::to_string(config.max_retries), "must be < 16777216"});
    if (config.retry_delay >= letters.retention_period)
        problems.push_back({"retry_delay", std::to_string(config.retry_delay.count()) + " ns",
                            "must be < retention_period, or the retry topic deletes what waits in it"});
    for (const auto& topic : source.topics) {
        if (std::ranges::find(source.topics, topic + suffix) != source.topics.end())
            problems.push_back({"topics", topic + suffix, "must not be the retry topic of another"});
        if (topic.starts_with('^')) problems.push_back({"topics", topic, "must name the topics, one by one"});
        if (topic.size() + suffix.size() > longest_topic_name)
            problems.push_back({"topics", topic, "must leave room for " + suffix + " in the name of the retry topic"});
    }
    return problems;
}

ConsumerConfig reader_of(const ConsumerConfig& source, const DeadLetterQueueConfig& letters,
                         const ReprocessConfig& config, const RetryTopicsOptions& options) {
    const auto suffix = suffix_of(config, options);
    throw_if_any(problems_of(source, letters, config, suffix));
    auto reader = source;
    reader.group_id += suffix;
    reader.offset_reset = OffsetReset::earliest; // what was published before the group began is not to be lost
    for (auto& topic : reader.topics) topic += suffix;
    return reader;
}

Error about(const Error& error, std::string_view topic, std::string_view what) {
    auto detail = std::string{"retry topic "}.append(topic).append(what);
    if (!error.detail().empty()) detail.append(": ").append(error.detail());
    return error.with_detail(std::move(detail));
}

} // namespace

/// A timer that `stop` knows of.
class RetryDesk::Sleep {
  public:
    Sleep(RetryDesk& desk, Duration length) : timer(desk.executor_, length), desk_(desk) {
        desk_.asleep_.push_front(&timer);
        place_ = desk_.asleep_.begin();
    }
    Sleep(const Sleep&) = delete;
    Sleep& operator=(const Sleep&) = delete;
    ~Sleep() { desk_.asleep_.erase(place_); }

    asio::steady_timer timer;

  private:
    RetryDesk& desk_;
    std::list<asio::steady_timer*>::iterator place_;
};

RetryDesk::RetryDesk(Producer& producer, const ConsumerConfig& source, const DeadLetterQueueConfig& letters,
                     const ReprocessConfig& config, RetryTopicsOptions options)
    : producer_(producer),
      executor_(producer.get_executor()),
      sources_(source.topics),
      group_(source.group_id),
      delay_(config.retry_delay),
      retention_(letters.retention_period),
      with_error_(letters.include_error_details),
      with_stack_trace_(letters.include_stack_trace),
      idempotent_(options.idempotent),
      max_record_size_(letters.max_record_size),
      reader_(reader_of(source, letters, config, options)),
      policy_(RetryConfig{.max_retries = config.max_retries, .backoff_strategy = FixedInterval{config.retry_delay}}) {}

bool RetryDesk::is_of_retry_topic(const ConsumedRecord& record) const noexcept {
    return std::ranges::find(reader_.topics, record.topic()) != reader_.topics.end();
}

RetryNote RetryDesk::note_of(const ConsumedRecord& record) const {
    const auto view = record_view(record);
    auto note = is_of_retry_topic(record) ? read_retry_headers(view) : first_attempt(view);
    if (note.first.group.empty()) note.first.group = group_;
    return note;
}

bool RetryDesk::tries_again(const Error& error, const RetryNote& note) const {
    return note.attempt <= policy_.max_retries() && policy_.is_retryable(error, idempotent_);
}

// One that was published already stays in its topic, whatever its headers say.
std::string_view RetryDesk::retry_topic_of(std::string_view topic) const noexcept {
    if (std::ranges::find(reader_.topics, topic) != reader_.topics.end()) return topic;
    const auto source = std::ranges::find(sources_, topic);
    if (source == sources_.end()) return {};
    return reader_.topics[static_cast<std::size_t>(source - sources_.begin())];
}

asio::awaitable<Result<void>> RetryDesk::publish(const ConsumedRecord& record, RetryNote note, Error error) {
    const auto topic = retry_topic_of(record.topic());
    if (topic.empty())
        co_return Error{Errc::invalid_configuration,
                        "no retry topic for " + std::string{record.topic()} + ": it is none of the source's topics"};
    const auto trace = with_stack_trace_ ? StackTrace::capture_behind(error.thrown_at()) : StackTrace{};
    const auto now = wall_now();
    const RetryContext context{.topic = topic,
                               .now = now,
                               .due = now + std::chrono::ceil<std::chrono::milliseconds>(delay_),
                               .stack_trace = trace.text(),
                               .with_error = with_error_,
                               .max_record_size = max_record_size_};
    const auto made = make_retry_record(record_view(record), note, error, context);
    const CallContext call;
    auto sending = producer_.async_send(made.record(), call, asio::deferred);
    const auto sent = co_await std::move(sending);
    if (!sent) {
        ++stats.failed_publications;
        co_return about(sent.error(), topic,
                        " did not take " + std::string{record.topic()} + '[' + std::to_string(record.partition()) +
                            "]@" + std::to_string(record.offset()));
    }
    ++stats.published;
    co_return Result<void>{};
}

bool RetryDesk::is_too_large(const Error& publication) noexcept {
    return publication == KafkaErrc{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE} ||
           publication == KafkaErrc{RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE} ||
           publication == KafkaErrc{RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE};
}

RetryDesk::Place RetryDesk::enter(const ConsumedRecord& record) {
    auto lane = std::to_string(record.partition()).append(1, ' ').append(record.topic()); // no topic has a space
    Place place;
    place.line.emplace(lines_.enter(lane));
    if (const auto key = record.key()) place.key.emplace(keys_.enter(std::move(lane.append(1, ' ').append(*key))));
    return place;
}

// True if the time has passed, or there is another reason to look again; false if it was cancelled.
asio::awaitable<bool> RetryDesk::sleep_for(Duration length) {
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    Sleep sleep{*this, length};
    boost::system::error_code interrupted;
    auto over = sleep.timer.async_wait(asio::redirect_error(asio::use_awaitable, interrupted));
    co_await std::move(over);
    co_return cancellation.cancelled() == asio::cancellation_type::none;
}

asio::awaitable<Result<void>> RetryDesk::until_due(Place& place, const ConsumedRecord& record) {
    struct Waiting {
        explicit Waiting(std::size_t& counted) noexcept : count(counted) { ++count; }
        Waiting(const Waiting&) = delete;
        Waiting& operator=(const Waiting&) = delete;
        ~Waiting() { --count; }
        std::size_t& count;
    };
    // The wall clock may be set while somebody waits.
    constexpr Duration longest_sleep = std::chrono::seconds{1};
    constexpr auto token = asio::as_tuple(asio::use_awaitable);
    const Waiting counted{stats.waiting};
    if (!place.line->has_come()) {
        auto waiting = place.line->async_wait(token);
        const auto [interrupted] = co_await std::move(waiting);
        if (interrupted) co_return Error{Errc::cancelled};
    }
    const auto note = note_of(record);
    for (;;) {
        if (is_stopped_) co_return Error{Errc::consumer_closed};
        const auto wait = wait_until_due(note, wall_now(), retention_);
        if (wait == Duration{0}) break;
        auto sleeping = sleep_for(std::min(wait, longest_sleep));
        const bool goes_on = co_await std::move(sleeping);
        if (!goes_on) co_return Error{Errc::cancelled};
    }
    place.line.reset(); // the next one may begin to wait, or overtake this one if its key is another
    if (place.key && !place.key->has_come()) {
        auto waiting = place.key->async_wait(token);
        const auto [interrupted] = co_await std::move(waiting);
        if (interrupted) co_return Error{Errc::cancelled};
        if (is_stopped_) co_return Error{Errc::consumer_closed};
    }
    co_return Result<void>{};
}

asio::awaitable<Result<void>> RetryDesk::ensure_topics(Admin admin, Duration timeout) const {
    const auto retention = std::chrono::ceil<std::chrono::milliseconds>(retention_);
    for (std::size_t i = 0; i < sources_.size(); ++i) {
        auto asking = admin.partitions(sources_[i], timeout);
        const auto partitions = co_await std::move(asking);
        if (!partitions)
            co_return about(partitions.error(), reader_.topics[i], " needs as many partitions as " + sources_[i]);
        std::vector<NewTopic> topics;
        topics.emplace_back(reader_.topics[i], *partitions);
        topics.back().config = {{"cleanup.policy", "delete"}, // the brokers' default may be to compact
                                {"message.timestamp.type", "CreateTime"},
                                {"retention.ms", std::to_string(retention.count())}};
        auto creating = admin.create_topics(std::move(topics), timeout);
        const auto created = co_await std::move(creating);
        if (created || created.error() == KafkaErrc::topic_already_exists) continue;
        // Who may not create topics is told so of one that exists, too.
        auto looking = admin.partitions(reader_.topics[i], timeout);
        const auto found = co_await std::move(looking);
        if (!found) co_return about(created.error(), reader_.topics[i], " could not be created");
    }
    co_return Result<void>{};
}

Consumer& RetryDesk::reader(const MemoryAccount& budget) {
    if (!consumer_) consumer_.emplace(executor_, reader_, budget);
    return *consumer_;
}

void RetryDesk::stop() {
    is_stopped_ = true;
    if (consumer_) consumer_->stop();
    for (auto* const timer : asleep_) timer->cancel();
}

} // namespace velostream::kafka::detail
