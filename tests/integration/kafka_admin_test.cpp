// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/admin.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <filesystem>
#include <iterator>
#include <stdexcept>

#include "kafka_support.hpp"

namespace velostream::kafka {
namespace {

TEST(AdminTest, ACallThatNobodyAnswersEndsAtItsTimeoutWithoutBlockingTheThread) {
    asio::io_context io{1};
    const MockCluster cluster{1}; // has no admin interface
    run(io, [&]() -> asio::awaitable<void> {
        const Admin admin{{.bootstrap_servers = cluster.bootstrap_servers()}};
        std::vector<NewTopic> topics;
        topics.emplace_back("t", 2);
        std::optional<Result<void>> created;

        asio::co_spawn(io, admin.create_topics(topics, 1s),
                       [&](const std::exception_ptr&, Result<void> result) { created = std::move(result); });
        for (int turn = 0; turn < 10; ++turn) co_await asio::post(asio::use_awaitable);
        EXPECT_FALSE(created); // ten turns of the thread are over long before its second is

        EXPECT_TRUE(co_await eventually([&] { return created.has_value(); }));
        EXPECT_EQ(created->error(), ErrorType::timeout) << created->error();
    });
}

TEST(AdminTest, ABrokerThatCannotBeReachedIsSaidToBe) {
    asio::io_context io{1};
    run(io, [&]() -> asio::awaitable<void> {
        const Admin admin{{.bootstrap_servers = "localhost:9"}};

        std::vector<std::string> names{"t"};
        const auto deleted = co_await admin.delete_topics(names, 1s);

        EXPECT_EQ(deleted.error(), Errc::broker_unreachable) << deleted.error();
        EXPECT_NE(deleted.error().detail().find("localhost:9"), std::string_view::npos) << deleted.error();
        EXPECT_NE(deleted.error().detail().find("no answer within 1000 ms"), std::string_view::npos);
    });
}

TEST(AdminTest, AQuestionAboutATopicWaitsForABrokerUntilItsTimeoutAndSaysWhyThereIsNone) {
    asio::io_context io{1};
    run(io, [&]() -> asio::awaitable<void> {
        const Admin admin{{.bootstrap_servers = "localhost:9"}};

        const auto offsets = co_await admin.offsets("t", 1s);
        const auto partitions = co_await admin.partitions("t", 1s);

        for (const auto& error : {offsets.error(), partitions.error()}) {
            EXPECT_EQ(error, Errc::broker_unreachable) << error;
            EXPECT_NE(error.detail().find("topic t: no answer within 1000 ms"), std::string_view::npos) << error;
            EXPECT_NE(error.detail().find("localhost:9"), std::string_view::npos) << error;
        }
    });
}

std::ptrdiff_t threads() {
    return std::distance(std::filesystem::directory_iterator{"/proc/self/task"}, std::filesystem::directory_iterator{});
}

TEST(AdminTest, ACallThatIsCancelledOrDroppedLetsGoOfItsThread) {
    asio::io_context io{1};
    const MockCluster cluster{1}; // has no admin interface: nobody answers
    run(io, [&]() -> asio::awaitable<void> {
        const Admin admin{{.bootstrap_servers = cluster.bootstrap_servers()}};
        const auto before = threads();
        const std::vector<NewTopic> topics{NewTopic{"t", 2}};
        asio::cancellation_signal signal;
        bool is_over = false;
        asio::co_spawn(
            io, admin.create_topics(topics, 60s),
            asio::bind_cancellation_slot(signal.slot(), [&](const std::exception_ptr& thrown, const Result<void>&) {
                EXPECT_TRUE(thrown);
                is_over = true;
            }));
        {
            const auto dropped = admin.create_topics(topics, 60s);
        }
        EXPECT_TRUE(co_await eventually([&] { return threads() > before; }));

        signal.emit(asio::cancellation_type::terminal);

        EXPECT_TRUE(co_await eventually([&] { return is_over; }));
        EXPECT_TRUE(co_await eventually([&] { return threads() <= before; }));
    });
}

TEST(AdminTest, SaysWhatThePartitionsHold) {
    asio::io_context io{1};
    MockCluster cluster{1};
    cluster.create_topic("t", 3).value();
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers()}};
        for (const int partition : {0, 2, 2}) {
            Record record{"t", std::nullopt, "x"};
            record.partition = partition;
            EXPECT_TRUE(co_await producer.send(record));
        }
        const Admin admin{{.bootstrap_servers = cluster.bootstrap_servers()}};

        const auto held = co_await admin.offsets("t");

        EXPECT_TRUE(held);
        if (!held) co_return;
        EXPECT_EQ(held->size(), 3U);
        for (const auto& range : *held) {
            EXPECT_EQ(range.first, 0);
            EXPECT_EQ(range.end, range.partition == 0 ? 1 : range.partition == 2 ? 2 : 0);
        }
        cluster.all_brokers_down();
        const auto unanswered = co_await admin.offsets("t", 500ms);
        const auto type = unanswered.error().type();
        EXPECT_TRUE(type == ErrorType::timeout || type == ErrorType::network) << unanswered.error();
        co_await producer.close(0s);
    });
}

TEST(AdminTest, ACallMayWaitForever) {
    asio::io_context io{1};
    MockCluster cluster{1}; // has no admin interface: nobody answers, unless it is about offsets
    cluster.create_topic("t", 1).value();
    run(io, [&]() -> asio::awaitable<void> {
        const Admin admin{{.bootstrap_servers = cluster.bootstrap_servers()}};
        const std::vector<std::string> names{"t"};
        asio::cancellation_signal signal;
        bool is_over = false;
        asio::co_spawn(io, admin.delete_topics(names, Duration::max()),
                       asio::bind_cancellation_slot(
                           signal.slot(), [&](const std::exception_ptr&, const Result<void>&) { is_over = true; }));

        const auto held = co_await admin.offsets("t", Duration::max());

        EXPECT_TRUE(held);
        EXPECT_FALSE(co_await eventually([&] { return is_over; }, 500ms));
        signal.emit(asio::cancellation_type::terminal);
        EXPECT_TRUE(co_await eventually([&] { return is_over; }));
    });
}

TEST(AdminTest, ATopicThatCannotBeIsRefusedAtOnce) {
    asio::io_context io{1};
    run(io, [&]() -> asio::awaitable<void> {
        const Admin admin{{.bootstrap_servers = "localhost:9"}};
        std::vector<NewTopic> topics;
        topics.emplace_back("t", -7);
        const auto created = co_await admin.create_topics(topics);
        EXPECT_EQ(created.error(), ErrorType::bad_request) << created.error();
    });
}

TEST(AdminTest, NoPlaceIsNothingToDeleteAndNobodyIsAsked) {
    asio::io_context io{1};
    run(io, [&]() -> asio::awaitable<void> {
        const Admin admin{{.bootstrap_servers = "localhost:9"}};
        const std::vector<PartitionOffset> none;
        const auto deleted = co_await admin.delete_records("t", none);
        EXPECT_TRUE(deleted) << deleted.error();
    });
}

// The client library loses 176 bytes of each such request.
#if !defined(__SANITIZE_ADDRESS__)
TEST(AdminTest, ADeletionThatNobodyAnswersEndsAtItsTimeout) {
    asio::io_context io{1};
    const MockCluster cluster{1}; // has no admin interface
    run(io, [&]() -> asio::awaitable<void> {
        const Admin admin{{.bootstrap_servers = cluster.bootstrap_servers()}};
        std::vector<PartitionOffset> places;
        places.push_back({0, 1});
        const auto deleted = co_await admin.delete_records("t", places, 1s);
        EXPECT_FALSE(deleted);
    });
}
#endif

TEST(AdminTest, ABrokerThatCannotBeAskedForSettingsHasNoAnswer) {
    asio::io_context io{1};
    MockCluster cluster{1}; // has no admin interface
    cluster.create_topic("t", 1).value();
    run(io, [&]() -> asio::awaitable<void> {
        const Admin admin{{.bootstrap_servers = cluster.bootstrap_servers()}};
        const NewTopic topic{"t"};
        const auto found = co_await admin.differences(topic, 1s);
        EXPECT_EQ(found.error(), ErrorType::timeout) << found.error();
    });
}

TEST(AdminTest, AnEmptyAddressIsRefused) {
    EXPECT_THROW(Admin{AdminConfig{}}, std::invalid_argument);
}

} // namespace
} // namespace velostream::kafka
