// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "velostream/async/lane_turns.hpp"
#include "velostream/base/result.hpp"
#include "velostream/config/dead_letter_queue_config.hpp"
#include "velostream/config/reprocess_config.hpp"
#include "velostream/core/retry_decision.hpp"
#include "velostream/core/retry_headers.hpp"
#include "velostream/kafka/admin.hpp"
#include "velostream/kafka/consumed_record.hpp"
#include "velostream/kafka/consumer.hpp"
#include "velostream/kafka/consumer_config.hpp"
#include "velostream/kafka/producer.hpp"
#include "velostream/kafka/retry_topics_options.hpp"

namespace velostream::kafka::detail {

/// What `RetryTopics` does whatever the operation is: names, publications, waiting. All on the producer's executor.
class RetryDesk {
  public:
    /// Throws `std::invalid_argument` that lists every problem.
    RetryDesk(Producer& producer, const ConsumerConfig& source, const DeadLetterQueueConfig& letters,
              const ReprocessConfig& config, RetryTopicsOptions options);
    RetryDesk(const RetryDesk&) = delete;
    RetryDesk& operator=(const RetryDesk&) = delete;

    const std::vector<std::string>& topics() const noexcept { return reader_.topics; }
    const std::string& group() const noexcept { return reader_.group_id; }
    bool is_of_retry_topic(const ConsumedRecord& record) const noexcept;
    RetryNote note_of(const ConsumedRecord& record) const;
    bool tries_again(const Error& error, const RetryNote& note) const;

    /// Success when the retry topic has it.
    asio::awaitable<Result<void>> publish(const ConsumedRecord& record, RetryNote note, Error error);
    /// Whether another publication could not help, while a dead letter can be made smaller.
    static bool is_too_large(const Error& publication) noexcept;

    /// A record's place among those of its partition and of its key, from the moment of the call.
    struct Place {
        std::optional<LaneTurns::Turn> line, key;
    };
    Place enter(const ConsumedRecord& record);
    /// Success when the record is due and it is its turn. Else it is left: cancelled, or stopped.
    asio::awaitable<Result<void>> until_due(Place& place, const ConsumedRecord& record);

    asio::awaitable<Result<void>> ensure_topics(Admin admin, Duration timeout) const;

    /// Connects the first time.
    Consumer& reader(const MemoryAccount& budget);
    Consumer* reader_if_any() noexcept { return consumer_ ? &*consumer_ : nullptr; }
    void stop();
    bool is_stopped() const noexcept { return is_stopped_; }

    RetryTopicsStats stats;

  private:
    class Sleep;

    asio::awaitable<bool> sleep_for(Duration length);
    std::string_view retry_topic_of(std::string_view topic) const noexcept;

    Producer& producer_;
    const asio::any_io_executor executor_;
    const std::vector<std::string> sources_;
    const std::string group_; // of the source
    const Duration delay_, retention_;
    const bool with_error_, with_stack_trace_, idempotent_;
    const Bytes max_record_size_;
    ConsumerConfig reader_;
    RetryPolicy policy_;
    std::optional<Consumer> consumer_;
    LaneTurns lines_, keys_;
    std::list<asio::steady_timer*> asleep_;
    bool is_stopped_ = false;
};

} // namespace velostream::kafka::detail
