// SPDX-License-Identifier: Apache-2.0
#include "job.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

#include "order_lines.hpp"
#include "velostream/kafka/mock_cluster.hpp"
#include "velostream/kafka/producer.hpp"

namespace orders {
namespace {

namespace kafka = velostream::kafka;
using velostream::Error;
using velostream::Result;

class JobTest : public testing::Test {
  protected:
    void start(std::vector<HandedOut::Batch> batches, std::optional<std::uint64_t> outage_at_line = std::nullopt) {
        asio::co_spawn(io, cluster.create_topics(), [](std::exception_ptr, Result<void> created) { created.value(); });
        io.run();
        auto lines = std::make_unique<HandedOut>(std::move(batches), allowed);
        job.emplace(io, options, cluster, std::move(lines), outage_at_line, nullptr);
        asio::co_spawn(io, job->run(), [this](std::exception_ptr thrown, Result<void> result) {
            outcome = thrown ? Error::from_exception(thrown) : std::move(result);
        });
    }
    void TearDown() override {
        constexpr int all = 100;
        allowed.release(all); // the reader of a test that failed still waits
    }
    bool ends() {
        return run_until(io, [&] { return outcome.has_value(); }) && outcome->has_value();
    }

    const Options options{.outage = Outage{.length = std::chrono::hours{1}}, .partitions = 1};
    asio::io_context io{1};
    Cluster cluster{options};
    std::counting_semaphore<> allowed{0};
    std::optional<Job> job;
    std::optional<Result<void>> outcome;
};

// Both lines are taken up before the first try has failed.
TEST_F(JobTest, ATotalThatIsTriedAgainIsSentAsItIsThen) {
    constexpr kafka::KafkaErrc passes{0}, network_exception{13}; // which the client does not try again by itself
    start({{order_line("first"), order_line("second")}});
    cluster.embedded().fail_next_produce_requests({passes, network_exception});

    allowed.release(2);

    ASSERT_TRUE(ends());
    EXPECT_EQ(job->figures().retries, 2U);
    for (const auto& total : written_to(io, cluster.bootstrap_servers(), cluster.totals(), 2))
        EXPECT_EQ(total.value, R"({"customer":"17","lines":2,"total":"6.00"})");
}

TEST_F(JobTest, ALineThatComesTwiceCountsOnce) {
    start({{order_line("first")}});
    allowed.release();
    ASSERT_TRUE(run_until(io, [&] { return job->figures().totals_acknowledged == 1; }));
    kafka::Producer other{io.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers()}};
    kafka::Record again{cluster.orders(), "17", order_line("first")};
    again.headers.emplace_back(std::string{line_number_header}, "0");
    other.async_send(again, [](const Result<kafka::Delivery>& sent) { EXPECT_TRUE(sent); });
    ASSERT_TRUE(run_until(io, [&] { return job->figures().repeated == 1; }));

    allowed.release();

    ASSERT_TRUE(ends());
    EXPECT_EQ(job->figures().lines, 1U);
    EXPECT_EQ(job->figures().valid, 1U);
    EXPECT_EQ(to_string(job->figures().grand_total), "3.00");
}

// Its group takes seconds to come together: the line is acknowledged long before anybody reads.
TEST_F(JobTest, DoesNotEndBeforeEveryLineIsTakenUp) {
    start({{order_line("first")}});
    allowed.release(2);

    ASSERT_TRUE(ends());

    EXPECT_EQ(job->figures().lines, 1U);
}

// The brokers go down as the first line is taken up, before its total is sent.
TEST_F(JobTest, WhileTheBrokersAreDownItHoldsTheTotalsAndCountsEveryOpening) {
    HandedOut::Batch lines(20, order_line("first"));
    const auto count = lines.size();
    start({lines}, 1);
    const auto openings = [this] {
        return std::ranges::count(job->figures().transitions, velostream::CircuitState::open, &BreakerTransition::to);
    };
    allowed.release(2);
    ASSERT_TRUE(run_until(io, [&] { return openings() > 1; }));
    EXPECT_LT(job->progress().value_or(0), 1.0) << "no total has arrived";

    cluster.embedded().all_brokers_up();

    ASSERT_TRUE(ends());
    EXPECT_EQ(job->figures().opened, static_cast<std::uint64_t>(openings()));
    EXPECT_EQ(job->figures().totals_acknowledged, count);
    EXPECT_EQ(job->progress(), 1.0);
}

// The handlers in progress end before the job: their guards write into it.
TEST_F(JobTest, WhenItGivesUpItEndsThoughTheBrokersAreDown) {
    start({HandedOut::Batch(20, order_line("first"))}, 1);
    allowed.release();
    ASSERT_TRUE(run_until(io, [&] { return job->figures().opened > 0; }));

    job->give_up();
    allowed.release();

    ASSERT_TRUE(run_until(io, [&] { return outcome.has_value(); }));
    EXPECT_FALSE(outcome->has_value());
    EXPECT_EQ(job->figures().totals_acknowledged, 0U);
}

TEST_F(JobTest, ADeadLetterThatIsRefusedForGoodEndsIt) {
    constexpr kafka::KafkaErrc passes{0}, topic_authorization_failed{29};
    start({{"1,A"}});
    cluster.embedded().fail_next_produce_requests({passes, topic_authorization_failed, topic_authorization_failed,
                                                   topic_authorization_failed, topic_authorization_failed});

    allowed.release(2);

    ASSERT_TRUE(run_until(io, [&] { return outcome.has_value(); }));
    ASSERT_FALSE(outcome->has_value());
    EXPECT_EQ(outcome->error(), velostream::Errc::dead_letter_lost);
    EXPECT_EQ(job->figures().dead_letters_total(), 0U);
}

// All in one partition: the foreign record is read before the second line.
TEST_F(JobTest, ARecordThatItDidNotWriteEndsIt) {
    start({{order_line("first")}, {order_line("second")}});
    allowed.release();
    ASSERT_TRUE(run_until(io, [&] { return job->figures().totals_acknowledged == 1; }));
    kafka::Producer other{io.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers()}};
    kafka::Record foreign{cluster.orders(), "17", order_line("third")};
    foreign.headers.emplace_back(std::string{line_number_header}, "2"); // there are 0 and 1
    bool is_written = false;
    other.async_send(foreign, [&](const Result<kafka::Delivery>& sent) { is_written = sent.has_value(); });
    ASSERT_TRUE(run_until(io, [&] { return is_written; }));

    allowed.release(2);

    ASSERT_TRUE(run_until(io, [&] { return outcome.has_value(); }));
    EXPECT_FALSE(outcome->has_value());
    EXPECT_EQ(job->figures().lines, 1U);
}

TEST_F(JobTest, AtItsEndNoMemoryIsHeldForLinesAhead) {
    start({{order_line("first")}});
    allowed.release(2);

    ASSERT_TRUE(ends());

    EXPECT_LT(job->figures().memory_used, velostream::mebibyte / 2) << "what the line reader alone may hold";
}

} // namespace
} // namespace orders
