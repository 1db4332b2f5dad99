// SPDX-License-Identifier: Apache-2.0
#include "job.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

#include "accounting/loss_watch.hpp"
#include "order_lines.hpp"
#include "settings.hpp"
#include "velostream/kafka/mock_cluster.hpp"
#include "velostream/kafka/producer.hpp"

namespace orders {
namespace {

using namespace std::chrono_literals;
namespace kafka = velostream::kafka;
using velostream::Error;
using velostream::Result;

TEST(JobConfig, IsWhatTheJobPromises) {
    const Options options{.memory_mb = 7};

    const auto config = job_config(options, "dead");

    EXPECT_EQ(config.max_memory_mb, 7U);
    EXPECT_EQ(config.resource_limits->max_aggregation_groups, 10'000'000U);
    EXPECT_EQ(config.circuit_breaker->timeout, 500ms);
    EXPECT_EQ(config.retry_policy->attempt_timeout, 1s);
    EXPECT_EQ(config.dead_letter_queue->topic, "dead");
    EXPECT_EQ(config.dead_letter_queue->retry_delay, 500ms);
    EXPECT_EQ(config.dead_letter_queue->delivery_timeout, 30s);
}

TEST(JobConfig, JudgesTheDatabaseByARate) {
    const auto config = lookup_breaker_config();

    EXPECT_EQ(config.failure_rate_threshold, 0.5);
    EXPECT_EQ(config.timeout, 500ms);
    EXPECT_EQ(config.failure_threshold, config.sliding_window_size) << "no number of failures opens it";
}

TEST(JobConfig, KeepsConnectionsToTheDatabaseWithinASmallLimit) {
    const auto connections = [](std::uint64_t memory_mb) {
        return lookup_connections({.lookup = Lookup{}, .memory_mb = memory_mb});
    };
    EXPECT_EQ(connections(256), 8U);
    EXPECT_EQ(connections(8), 2U);
    EXPECT_EQ(connections(1), 1U);
    EXPECT_EQ(lookup_bytes({.lookup = Lookup{}, .memory_mb = 8}), 2U * 64 * 1024);
    EXPECT_EQ(lookup_bytes({.memory_mb = 8}), 0U) << "nothing is looked up";
}

TEST(JobConfig, ChargesDeadLettersFrom64MiBOn) {
    EXPECT_FALSE(are_dead_letters_charged({.memory_mb = 63}));
    EXPECT_TRUE(are_dead_letters_charged({.memory_mb = 64}));
}

class JobTest : public testing::Test {
  protected:
    void start(std::vector<HandedOut::Batch> batches, std::optional<std::uint64_t> outage_at_line = std::nullopt) {
        start(std::move(batches), OutageLines{.brokers = outage_at_line});
    }
    void start(std::vector<HandedOut::Batch> batches, const OutageLines& outages) {
        asio::co_spawn(io, cluster.create_topics(), [](std::exception_ptr, Result<void> created) { created.value(); });
        io.run();
        auto lines = std::make_unique<HandedOut>(std::move(batches), allowed);
        job.emplace(io, options, cluster, std::move(lines), outages, nullptr, longest_pause);
        asio::co_spawn(io, job->run(), [this](std::exception_ptr thrown, Result<void> result) {
            outcome = thrown ? Error::from_exception(thrown) : std::move(result);
        });
    }
    void TearDown() override {
        constexpr int all = 100;
        allowed.release(all); // the reader of a test that failed still waits
    }
    /// What is charged for lines that are read ahead, from the start until the last is acknowledged.
    velostream::Bytes held_ahead() const { return reader_bytes(options) + source_bytes(options); }
    bool ends() {
        return run_until(io, [&] { return outcome.has_value(); }) && outcome->has_value();
    }

    Options options{.outage = Outage{.length = std::chrono::hours{1}}, .partitions = 1};
    asio::io_context io{1};
    Cluster cluster{options};
    std::counting_semaphore<> allowed{0};
    velostream::Duration longest_pause = LossWatch::longest_pause;
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
    EXPECT_EQ(job->figures().retries(), 2U);
    for (const auto& total : written_to(io, cluster.bootstrap_servers(), cluster.totals(), 2))
        EXPECT_EQ(total.value, R"({"customer":"17","lines":2,"total":"6.00"})");
}

// A try that ends while its record is with the broker may have been written.
TEST_F(JobTest, ATotalThatMayHaveBeenWrittenIsTriedAgain) {
    cluster.embedded().set_round_trip_time(1500ms);
    start({{order_line("first")}});
    allowed.release(2);

    ASSERT_TRUE(run_until(io, [&] { return job->figures().retries() > 0; }));
    cluster.embedded().set_round_trip_time(0ms);

    ASSERT_TRUE(ends());
    EXPECT_EQ(job->figures().totals_acknowledged, 1U);
}

TEST_F(JobTest, ADeadLetterIsTheLineAsItWasWithTheReason) {
    const std::string odd{" \"1\" ,A,a \"b\" \x01\xff,2,x,1.50, ,UK", 28}, torn{"1,\"A\"\"", 7};
    start({{odd, torn}});
    allowed.release(2);

    ASSERT_TRUE(ends());
    auto letters = written_to(io, cluster.bootstrap_servers(), cluster.dead_letters(), 2);
    std::ranges::sort(letters, {}, &Written::value);

    EXPECT_EQ(letters[0].value, odd);
    EXPECT_EQ(letters[1].value, torn);
    EXPECT_EQ(letters[0].headers["x-dlq-error-type"], "bad_request");
    EXPECT_THAT(letters[0].headers["__connect.errors.exception.message"],
                testing::AllOf(testing::HasSubstr("CustomerID"), testing::HasSubstr("\" \"")));
    EXPECT_EQ(letters[1].headers["x-dlq-error-type"], "bad_request");
    EXPECT_THAT(letters[1].headers["__connect.errors.exception.message"], testing::HasSubstr("(line)"));
}

TEST_F(JobTest, ACustomerWithoutRoomIsADeadLetterOfExhaustedResources) {
    options.memory_mb = 1;
    HandedOut::Batch lines;
    for (int customer = 0; customer < 15'000; ++customer)
        lines.push_back("1,A,x,2,x,1.50," + std::to_string(customer) + ",UK");
    start({lines});
    allowed.release(2);

    ASSERT_TRUE(ends());
    const auto& figures = job->figures();
    const auto refused = figures.dead_letters.back();
    EXPECT_GT(refused, 1'000U);
    EXPECT_EQ(figures.customers, lines.size() - refused);
    EXPECT_LE(figures.memory_peak, figures.memory_limit);
    constexpr std::size_t some = 100; // the cluster keeps no more than 5 MiB of them
    for (auto& letter : written_to(io, cluster.bootstrap_servers(), cluster.dead_letters(), some))
        ASSERT_EQ(letter.headers["x-dlq-error-type"], "resource_exhausted");
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
        return std::ranges::count(job->figures().guard.transitions, velostream::CircuitState::open,
                                  &BreakerTransition::to);
    };
    allowed.release(2);
    ASSERT_TRUE(run_until(io, [&] { return openings() > 1; }));
    EXPECT_LT(job->progress().value_or(0), 1.0) << "no total has arrived";

    cluster.embedded().all_brokers_up();

    ASSERT_TRUE(ends());
    EXPECT_EQ(job->figures().guard.opened, static_cast<std::uint64_t>(openings()));
    EXPECT_EQ(job->figures().totals_acknowledged, count);
    EXPECT_EQ(job->progress(), 1.0);
}

constexpr auto order_of_a_known_customer = "1,A,x,2,x,1.50,14646,Netherlands";

TEST_F(JobTest, ATotalSaysTheSegmentThatIsLookedUp) {
    options.lookup = Lookup{};
    start({{order_of_a_known_customer}});
    allowed.release(2);

    ASSERT_TRUE(ends());
    EXPECT_EQ(written_to(io, cluster.bootstrap_servers(), cluster.totals(), 1).front().value,
              R"({"customer":"14646","segment":"export","lines":1,"total":"3.00"})");
    const auto figures = job->final_figures();
    EXPECT_EQ(figures.lookup->database, "sqlite");
    EXPECT_EQ(figures.lookup->found, 1U);
    EXPECT_EQ(figures.lookup->segments.front().segment, "export");
    EXPECT_EQ(to_string(figures.lookup->segments.front().total), "3.00");
}

TEST_F(JobTest, ACustomerThatTheTableDoesNotHaveGoesOnWithoutASegment) {
    options.lookup = Lookup{};
    start({{order_line("of nobody")}});
    allowed.release(2);

    ASSERT_TRUE(ends());
    EXPECT_EQ(written_to(io, cluster.bootstrap_servers(), cluster.totals(), 1).front().value,
              R"({"customer":"17","lines":1,"total":"3.00"})");
    const auto figures = job->final_figures();
    EXPECT_EQ(figures.lookup->found, 0U);
    EXPECT_EQ(figures.lookup->unknown, 1U);
    EXPECT_TRUE(figures.lookup->segments.empty());
}

TEST_F(JobTest, WhileTheDatabaseIsAwayItHoldsItsLines) {
    options.lookup = Lookup{};
    options.db_outage = Outage{.length = 700ms};
    const HandedOut::Batch lines(100, order_of_a_known_customer);
    start({lines}, OutageLines{.database = 1});
    allowed.release(2);
    ASSERT_TRUE(run_until(io, [&] { return job->figures().lookup->guard.opened > 0; }));
    EXPECT_EQ(job->figures().valid, 0U);

    ASSERT_TRUE(ends());
    const auto figures = job->final_figures();
    EXPECT_EQ(figures.totals_acknowledged, lines.size());
    EXPECT_EQ(figures.lookup->found, lines.size());
    EXPECT_EQ(figures.lookup->guard.breaker, velostream::CircuitState::closed);
    EXPECT_GT(figures.lookup->failed_connects, 0U);
    EXPECT_EQ(figures.guard.opened, 0U) << "the brokers were there";
    EXPECT_EQ(to_string(figures.grand_total), "300.00");
}

TEST_F(JobTest, LookUpsThatFailAreTriedAgain) {
    options.lookup = Lookup{};
    options.db_fail_rate = 0.3;
    const HandedOut::Batch lines(200, order_of_a_known_customer);
    start({lines});
    allowed.release(2);

    ASSERT_TRUE(ends());
    EXPECT_EQ(job->figures().totals_acknowledged, lines.size());
    EXPECT_EQ(job->figures().lookup->found, lines.size());
    EXPECT_GT(job->figures().lookup->guard.retries, 0U);
}

TEST_F(JobTest, WhenItGivesUpItEndsThoughTheDatabaseIsAway) {
    options.lookup = Lookup{};
    options.db_outage = Outage{.length = std::chrono::hours{1}};
    start({HandedOut::Batch(100, order_of_a_known_customer)}, OutageLines{.database = 1});
    allowed.release();
    ASSERT_TRUE(run_until(io, [&] { return job->figures().lookup->guard.opened > 0; }));

    job->give_up();
    allowed.release();

    ASSERT_TRUE(run_until(io, [&] { return outcome.has_value(); }));
    EXPECT_FALSE(outcome->has_value());
    EXPECT_EQ(job->figures().valid, 0U);
}

TEST_F(JobTest, ADatabaseThatCannotBeReachedEndsItBeforeAnythingIsRead) {
    options.lookup = Lookup{.postgres = "host=/nowhere"};
    start({{order_of_a_known_customer}});
    allowed.release(2);

    ASSERT_TRUE(run_until(io, [&] { return outcome.has_value(); }));
    ASSERT_FALSE(outcome->has_value());
    EXPECT_EQ(outcome->error(), velostream::Errc::connect_failed);
    EXPECT_THAT(outcome->error().message(),
                testing::AllOf(testing::HasSubstr("--lookup"), testing::HasSubstr("/nowhere")));
    EXPECT_EQ(job->figures().read, 0U);
}

// The handlers in progress end before the job: their guards write into it.
TEST_F(JobTest, WhenItGivesUpItEndsThoughTheBrokersAreDown) {
    start({HandedOut::Batch(20, order_line("first"))}, 1);
    allowed.release();
    ASSERT_TRUE(run_until(io, [&] { return job->figures().guard.opened > 0; }));

    job->give_up();
    allowed.release();

    ASSERT_TRUE(run_until(io, [&] { return outcome.has_value(); }));
    EXPECT_FALSE(outcome->has_value());
    EXPECT_EQ(job->figures().totals_acknowledged, 0U);
}

TEST_F(JobTest, ShowsDeadLettersOnTheirWay) {
    start({{"1,A"}});
    cluster.embedded().set_round_trip_time(200ms);
    allowed.release(2);

    EXPECT_TRUE(run_until(io, [&] { return job->figures().dead_letters_in_flight == 1; }));
    ASSERT_TRUE(ends());
    EXPECT_EQ(job->figures().dead_letters_in_flight, 0U);
    EXPECT_EQ(job->figures().dead_letters_total(), 1U);
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
    EXPECT_EQ(job->figures().retries(), 4U) << "its deliveries that failed";
}

// The queue gives up after four deliveries; the job holds the line and begins again.
TEST_F(JobTest, ADeadLetterThatIsGivenUpForNoFaultOfItsOwnIsSentAgain) {
    constexpr kafka::KafkaErrc passes{0}, network_exception{13};
    start({{"1,A"}});
    cluster.embedded().fail_next_produce_requests(
        {passes, network_exception, network_exception, network_exception, network_exception});

    allowed.release(2);

    ASSERT_TRUE(ends());
    EXPECT_EQ(job->figures().dead_letters_total(), 1U);
    EXPECT_EQ(job->figures().retries(), 4U) << "its deliveries that failed";
    written_to(io, cluster.bootstrap_servers(), cluster.dead_letters(), 1);
}

TEST_F(JobTest, ATotalThatIsRefusedForGoodEndsItAndNamesTheLine) {
    constexpr kafka::KafkaErrc passes{0}, topic_authorization_failed{29};
    start({{order_line("first")}});
    cluster.embedded().fail_next_produce_requests({passes, topic_authorization_failed});

    allowed.release(2);

    ASSERT_TRUE(run_until(io, [&] { return outcome.has_value(); }));
    ASSERT_FALSE(outcome->has_value());
    EXPECT_EQ(outcome->error().type(), velostream::ErrorType::authorization);
    EXPECT_THAT(outcome->error().message(), testing::HasSubstr("line 1"));
    EXPECT_EQ(job->figures().unfinished(), 1U);
}

// The broker says that it has the line already, and has nothing.
TEST_F(JobTest, ALineThatKafkaLostEndsItAndIsNamed) {
    constexpr kafka::KafkaErrc duplicate_sequence_number{46}; // an acknowledgment for the client
    longest_pause = 0s;
    start({{order_line("first")}});
    cluster.embedded().fail_next_produce_requests({duplicate_sequence_number});

    allowed.release(2);

    ASSERT_TRUE(run_until(io, [&] { return outcome.has_value(); }));
    ASSERT_FALSE(outcome->has_value());
    EXPECT_THAT(outcome->error().message(), testing::HasSubstr("1 lines were written"));
    EXPECT_THAT(outcome->error().message(), testing::HasSubstr("first line 1"));
    EXPECT_EQ(job->figures().unfinished(), 1U);
}

// Its input says nothing more: it does not wait for that.
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

TEST_F(JobTest, AtItsEndThePeakIsStillTheMostThatWasHeldAtOnce) {
    start({{order_line("first")}});
    allowed.release(2);

    ASSERT_TRUE(ends());

    EXPECT_GE(job->figures().memory_peak, held_ahead());
    EXPECT_LT(job->figures().memory_used, held_ahead());
}

TEST_F(JobTest, ChargesTheLinesAheadFromTheStart) {
    start({});

    EXPECT_GE(job->figures().memory_used, held_ahead());
}

TEST_F(JobTest, ChargesALineInProgressWithWhatItsHandlerHolds) {
    const auto line = order_line("first");
    start({{line}});
    allowed.release();

    ASSERT_TRUE(run_until(io, [&] { return job->figures().lines == 1; }));

    EXPECT_GE(job->figures().memory_used, held_ahead() + line.size() + handler_bytes(options));
    allowed.release();
    EXPECT_TRUE(ends());
}

TEST_F(JobTest, ChargesADeadLetterBesideItsLineWhereTheLimitIsNotSmall) {
    options.memory_mb = 64;
    const std::string line(500'000, 'x');
    start({{line}});
    allowed.release();

    ASSERT_TRUE(run_until(io, [&] { return job->figures().dead_letters_total() == 1; }));

    EXPECT_GE(job->figures().memory_peak, held_ahead() + 2 * line.size());
    allowed.release();
    EXPECT_TRUE(ends());
}

} // namespace
} // namespace orders
