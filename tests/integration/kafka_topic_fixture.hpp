// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "kafka_support.hpp"

namespace velostream::kafka {

/// A cluster with the topic `t`, and members of groups that soon read and store.
class TopicTest : public ::testing::Test {
  protected:
    TopicTest() { cluster.create_topic("t", partitions).value(); }

    ConsumerConfig config(const std::string& group = "g") const {
        return {.bootstrap_servers = cluster.bootstrap_servers(),
                .group_id = group,
                .topics = {"t"},
                .session_timeout = 30s, // what stands still for a while remains a member
                .commit_interval = 100ms,
                .fetch_wait = 5ms};
    }

    /// For groups that members leave or join later. The mock cluster takes one second less than the session may last
    /// for each change after the first member: so this must be short. It may also forget who is joining when the
    /// process stands still for a second, and answers him no more: he asks again after `max.poll.interval.ms` and 3 s.
    static ConsumerConfig in_changing_group(ConsumerConfig settings) {
        settings.session_timeout = 3s;
        settings.properties["max.poll.interval.ms"] = "5000";
        return settings;
    }

    /// `count` more records with the values "0", "1", …: in turn over the partitions, or in one of them `only`.
    asio::awaitable<void> write(int count, std::optional<std::int32_t> only = std::nullopt) {
        auto records = numbered_records("t", written_, count, partitions);
        written_ += count;
        if (only)
            for (auto& record : records) record.partition = *only;
        co_await write_all(io.get_executor(), cluster.bootstrap_servers(), records);
    }

    static constexpr int partitions = 4;
    asio::io_context io{1};
    MockCluster cluster{1};

  private:
    int written_ = 0;
};

} // namespace velostream::kafka
