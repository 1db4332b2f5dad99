// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "kafka_support.hpp"

namespace velostream::kafka {

class ProducerTest : public ::testing::Test {
  protected:
    ProducerConfig config(Duration delivery_timeout = 30s) const {
        return {.bootstrap_servers = cluster.bootstrap_servers(), .delivery_timeout = delivery_timeout};
    }

    asio::io_context io{1};
    MockCluster cluster{3};
};

// Ends with the outcome of each send, in the order of the calls.
struct Outcomes {
    std::vector<Result<Delivery>> results;
    std::size_t ended = 0;

    void send(Producer& producer, const std::vector<Record>& records) {
        const auto first = results.size();
        results.resize(first + records.size());
        for (std::size_t i = 0; i < records.size(); ++i)
            producer.async_send(records[i], [this, place = first + i](Result<Delivery> result) {
                results[place] = std::move(result);
                ++ended;
            });
    }
    bool are_complete() const { return ended == results.size(); }
    std::size_t failures() const {
        return static_cast<std::size_t>(std::ranges::count_if(results, [](const auto& result) { return !result; }));
    }
};

// Of sends to one partition that was empty.
inline void expect_written_in_order(const Outcomes& outcomes) {
    EXPECT_EQ(outcomes.failures(), 0U);
    for (std::size_t i = 0; i < outcomes.results.size(); ++i)
        ASSERT_EQ(outcomes.results[i].value().offset, static_cast<std::int64_t>(i));
}

inline std::vector<Record> numbered(const std::string& topic, int count, const std::string& key = "k") {
    std::vector<Record> records;
    for (int i = 0; i < count; ++i) {
        records.emplace_back(topic, key, std::to_string(i));
        records.back().partition = 0;
    }
    return records;
}

} // namespace velostream::kafka
