// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "integration/kafka_support.hpp"
#include "velostream/kafka/admin.hpp"

namespace velostream::kafka {

/// A test on a real broker: the one that cmake/test_broker.sh started in the folder that VELOSTREAM_TEST_BROKER names.
/// Skipped without one.
class BrokerTest : public testing::Test {
  protected:
    void SetUp() override {
        if (folder().empty()) GTEST_SKIP() << "VELOSTREAM_TEST_BROKER is not set: start one by cmake/test_broker.sh";
        std::ifstream{folder() / "address"} >> address;
        if (address.empty()) GTEST_SKIP() << "there is no broker in " << folder();
    }
    static std::filesystem::path folder() {
        const auto* const name = std::getenv("VELOSTREAM_TEST_BROKER");
        return name ? name : "";
    }

    /// The same word at every call in a test, another one in every other test and run.
    std::string unique(const std::string& word) const {
        const auto* const test = testing::UnitTest::GetInstance()->current_test_info();
        return word + "-" + test->name() + "-" + std::to_string(began.time_since_epoch().count());
    }

    asio::awaitable<void> create_topic(const std::string& name, int partitions) {
        const Admin admin{{.bootstrap_servers = address}};
        std::vector<NewTopic> topics;
        topics.emplace_back(name, partitions);
        const auto created = co_await admin.create_topics(topics);
        EXPECT_TRUE(created) << created.error();
        co_await until_known(admin, name);
    }
    /// A broker says that a topic was created before it has heard of it itself.
    static asio::awaitable<void> until_known(const Admin& admin, std::string topic) {
        auto count = co_await admin.partitions(topic);
        for (const auto until = now() + 20s; !count && now() < until;) {
            co_await pause_for(20ms);
            count = co_await admin.partitions(topic);
        }
        EXPECT_TRUE(count) << count.error();
    }

    asio::io_context io{1};
    std::string address;

  private:
    std::chrono::system_clock::time_point began = std::chrono::system_clock::now();
};

} // namespace velostream::kafka
