// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <functional>
#include <initializer_list>
#include <map>
#include <utility>

#include "failing_brokers.hpp"
#include "kafka_support.hpp"
#include "velostream/kafka/exactly_once.hpp"

namespace velostream::kafka {

/// The topics `t` and `out` on brokers whose answers to the calls of a transaction can be chosen, and processors that
/// copy the one to the other. The mock cluster takes the offsets of a transaction and forgets them: what was committed
/// is known from the processor, and tested on a real broker.
class ExactlyOnceTest : public ::testing::Test {
  protected:
    enum Api : std::int16_t {
        produce = 0,
        offset_fetch = 9,
        heartbeat = 12,
        add_partitions = 24,
        end_transaction = 26,
        offset_commit = 28
    };

    ExactlyOnceTest() {
        for (const auto* topic : {"t", "out"}) rd_kafka_mock_topic_create(brokers.cluster(), topic, partitions, 1);
    }

    ExactlyOnceConfig config() const {
        return {.transactional_id = "copier-1",
                .consumer = {.bootstrap_servers = brokers.bootstrap_servers(),
                             .group_id = "g",
                             .topics = {"t"},
                             .session_timeout = 3s,
                             .fetch_wait = 5ms,
                             .report_ends = true,
                             .properties = {{"max.poll.interval.ms", "5000"}}},
                .producer = {.delivery_timeout = 5s, .linger = 0ms},
                .commit_interval = 20ms,
                .transaction_timeout = 60s};
    }
    ExactlyOnceProcessor processor(const std::function<void(ExactlyOnceConfig&)>& change = {}) {
        auto settings = config();
        if (change) change(settings);
        return ExactlyOnceProcessor{io.get_executor(), settings};
    }

    /// The next requests of this kind are answered by these codes.
    void answer_next(Api api, std::initializer_list<int> codes) {
        for (const auto code : codes)
            rd_kafka_mock_push_request_errors(brokers.cluster(), api, 1, static_cast<rd_kafka_resp_err_t>(code));
    }

    asio::awaitable<void> write(int count) {
        const auto records = numbered_records("t", written_, count, partitions);
        written_ += count;
        co_await write_all(io.get_executor(), brokers.bootstrap_servers(), records);
    }

    static Record copy_of(const ConsumedRecord& record) {
        return Record{"out", std::nullopt, std::string{record.value().value_or("")}};
    }

    /// Copies every record, after `before(value)`.
    auto copying(std::function<asio::awaitable<Result<void>>(std::string)> before = {}) {
        return [this, before](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<Result<void>> {
            ++started[std::string{*record.value()}];
            if (before) {
                auto preparing = before(std::string{*record.value()});
                auto prepared = co_await std::move(preparing);
                if (!prepared) co_return prepared;
            }
            const auto copied = copy_of(record);
            auto sending = transaction.send(copied);
            auto sent = co_await std::move(sending);
            if (!sent) co_return sent.error();
            co_return Result<void>{};
        };
    }

    /// A loop that runs beside the test.
    struct Loop {
        std::optional<Result<void>> ended;
        asio::cancellation_signal cancel;
    };
    template <class Handler>
    void start(ExactlyOnceProcessor& processor, Loop& loop, Handler handler, ForEachOptions options = {}) {
        asio::co_spawn(io, processor.for_each(std::move(options), std::move(handler)),
                       asio::bind_cancellation_slot(
                           loop.cancel.slot(), [&loop](const std::exception_ptr& thrown, Result<void> result) {
                               loop.ended = thrown ? Error::from_exception(thrown) : std::move(result);
                           }));
    }

    /// How many records of `t`, which are at the offsets from 0, the processor has committed.
    static std::int64_t committed(const ExactlyOnceProcessor& processor) {
        std::int64_t records = 0;
        for (const auto& partition : processor.assignment()) records += partition.stored.value_or(0);
        return records;
    }

    /// How often each value lies in `out`; the mock cluster shows what was aborted, too.
    std::map<std::string, int> outputs() const {
        std::map<std::string, int> found;
        for (int partition = 0; partition < partitions; ++partition)
            for (const auto& logged : read_log(brokers.bootstrap_servers(), "out", partition))
                ++found[logged.record.value.value_or("")];
        return found;
    }

    static constexpr int partitions = 4;
    asio::io_context io{1};
    FailingBrokers brokers{1};
    std::map<std::string, int> started; // handlers, by the value of their record

  private:
    int written_ = 0;
};

} // namespace velostream::kafka
