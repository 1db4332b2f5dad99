// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/redrive.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <exception>
#include <map>
#include <string>

#include "made_letter.hpp"
#include "tools/dlq/blocking.hpp"
#include "velostream/kafka/error.hpp"

namespace velostream::dlq {
namespace {

constexpr kafka::KafkaErrc too_large = kafka::KafkaErrc::message_too_large;
constexpr kafka::KafkaErrc away{-195};

/// Letters in batches, and what was said of each, by its value.
class ScriptedQueue final : public LetterQueue {
  public:
    void add_batch(std::vector<MadeLetter> batch) { batches_.push_back(std::move(batch)); }

    asio::awaitable<Result<std::span<const Letter>>> next() override {
        if (failure) co_return *failure;
        letters_.clear();
        if (batches_.empty() || is_stopped_) co_return std::span<const Letter>{};
        current_ = std::move(batches_.front());
        batches_.pop_front();
        for (const auto& made : current_) letters_.push_back(made.letter());
        co_return std::span<const Letter>{letters_};
    }
    void done(std::size_t index) override { done_letters += value_of(index); }
    void leave(std::size_t index) override { left_letters += value_of(index); }
    asio::awaitable<Result<void>> finish() override {
        is_finished = true;
        if (not_remembered) co_return *not_remembered;
        co_return Result<void>{};
    }
    void stop() override { is_stopped_ = true; }
    std::pair<std::uint64_t, std::uint64_t> progress() const override { return {0, 0}; }

    std::string done_letters, left_letters;
    std::optional<Error> failure, not_remembered;
    bool is_finished = false;

  private:
    std::string value_of(std::size_t index) const { return current_[index].record.value.value(); }

    std::deque<std::vector<MadeLetter>> batches_;
    std::vector<MadeLetter> current_;
    std::vector<Letter> letters_;
    bool is_stopped_ = false;
};

class RedriveTest : public testing::Test {
  protected:
    static MadeLetter letter(const std::string& key, const std::string& value) {
        MadeLetter made;
        made.record.key = key;
        made.record.value = value;
        return made;
    }

    Result<void> run(RedriveOptions options) {
        redrive.emplace(std::move(options), queue,
                        [this](std::span<const kafka::Record> records, const std::function<bool()>& goes_on,
                               const SendEnded& ended) { return send(records, goes_on, ended); });
        return wait_for(redrive->run());
    }

    asio::awaitable<void> send(std::span<const kafka::Record> records, const std::function<bool()>& goes_on,
                               const SendEnded& ended) {
        sent += '|';
        for (std::size_t index = 0; index < records.size(); ++index) {
            if (!goes_on()) co_return;
            const auto& value = records[index].value.value();
            sent += value;
            if (interrupt_at == value) redrive->interrupt();
            if (failures.contains(value))
                ended(index, Error{make_error_code(failures[value])});
            else
                ended(index, kafka::Delivery{});
        }
    }

    ScriptedQueue queue;
    std::optional<Redrive> redrive;
    std::map<std::string, kafka::KafkaErrc> failures; // by value
    std::optional<std::string> interrupt_at;
    std::string sent; // values, each round behind a bar
};

TEST_F(RedriveTest, EveryLetterIsSentAndThenDone) {
    queue.add_batch({letter("a", "1"), letter("b", "2")});
    queue.add_batch({letter("a", "3")});

    EXPECT_TRUE(run({.canary = 0}));

    EXPECT_EQ(sent, "|12|3");
    EXPECT_EQ(queue.done_letters, "123");
    EXPECT_TRUE(queue.is_finished);
    EXPECT_EQ(redrive->figures().read, 3U);
    EXPECT_EQ(redrive->figures().sent, 3U);
}

TEST_F(RedriveTest, RecordsOfOneKeyGoOneAfterTheOther) {
    queue.add_batch({letter("a", "1"), letter("a", "2"), letter("b", "3"), letter("a", "4")});

    EXPECT_TRUE(run({.canary = 0}));

    EXPECT_EQ(sent, "|13|2|4");
}

TEST_F(RedriveTest, AfterAFailedRecordNoneOfItsKeyFollowsAndOthersDo) {
    failures["2"] = too_large;
    queue.add_batch({letter("a", "1"), letter("a", "2"), letter("b", "3"), letter("a", "4")});
    queue.add_batch({letter("a", "5"), letter("b", "6")});

    const auto ran = run({.canary = 0});

    EXPECT_EQ(sent, "|13|2||6");
    EXPECT_EQ(queue.done_letters, "136");
    EXPECT_EQ(redrive->figures().failed, 1U);
    EXPECT_EQ(redrive->figures().held_back, 2U);
    ASSERT_FALSE(ran);
    EXPECT_EQ(ran.error(), too_large);
    EXPECT_NE(ran.error().detail().find("letter 0:5"), std::string_view::npos) << ran.error().detail();
}

TEST_F(RedriveTest, BrokersThatAreAwayEndTheRun) {
    failures["2"] = away;
    queue.add_batch({letter("a", "1"), letter("b", "2"), letter("c", "3"), letter("a", "4")});
    queue.add_batch({letter("d", "5")});

    const auto ran = run({.canary = 0});

    EXPECT_EQ(sent, "|12|");
    EXPECT_EQ(queue.done_letters, "1");
    EXPECT_EQ(redrive->figures().held_back, 2U);
    EXPECT_EQ(redrive->figures().read, 4U);
    EXPECT_EQ(ran.error(), away);
    EXPECT_FALSE(redrive->could_not_read());
}

TEST_F(RedriveTest, WhatEndedTheRunIsToldAlsoWhereARecordFailedBefore) {
    failures["1"] = too_large;
    failures["2"] = away;
    queue.add_batch({letter("a", "1")});
    queue.add_batch({letter("b", "2")});

    const auto ran = run({.canary = 0});

    ASSERT_FALSE(ran);
    EXPECT_EQ(ran.error(), away);
}

TEST_F(RedriveTest, WhatCouldNotBeRememberedIsAFailureThoughAllWasSent) {
    queue.not_remembered = Error{make_error_code(away)};
    queue.add_batch({letter("a", "1")});

    const auto ran = run({.canary = 0});

    EXPECT_EQ(queue.done_letters, "1");
    ASSERT_FALSE(ran);
    EXPECT_EQ(ran.error(), away);
    EXPECT_FALSE(redrive->could_not_read());
}

TEST_F(RedriveTest, TheCanariesMustBeAcknowledgedBeforeTheOthersAreSent) {
    failures["2"] = too_large;
    queue.add_batch({letter("a", "1"), letter("b", "2"), letter("c", "3"), letter("d", "4")});

    const auto ran = run({.canary = 3});

    EXPECT_EQ(sent, "|123"); // those of one round are on their way by then
    EXPECT_EQ(queue.done_letters, "13");
    EXPECT_EQ(redrive->figures().held_back, 1U);
    EXPECT_EQ(ran.error(), too_large);
}

TEST_F(RedriveTest, BehindTheCanariesAFailedRecordDoesNotEndTheRun) {
    failures["3"] = too_large;
    queue.add_batch({letter("a", "1"), letter("b", "2"), letter("c", "3"), letter("d", "4")});

    EXPECT_FALSE(run({.canary = 2}));

    EXPECT_EQ(sent, "|12|34");
}

TEST_F(RedriveTest, WhatWasNotAskedForOrMayNotGoStaysAndIsCounted) {
    queue.add_batch({letter("a", "1").with("x-dlq-error-type", "timeout"),
                     letter("a", "2").with("x-dlq-redrive-count", "3"),
                     letter("a", "3").without("__connect.errors.topic"), letter("a", "4")});

    EXPECT_TRUE(run({.rules = {.filter = {.types = {"bad_request"}}}}));

    EXPECT_EQ(sent, "|4");
    EXPECT_EQ(queue.left_letters, "123");
    EXPECT_EQ(redrive->figures().filtered, 1U);
    EXPECT_EQ(redrive->figures().over_limit, 1U);
    EXPECT_EQ(redrive->figures().without_topic, 1U);
}

TEST_F(RedriveTest, NotMoreAreSentThanWereAskedFor) {
    queue.add_batch({letter("a", "1"), letter("b", "2").with("x-dlq-redrive-count", "3"), letter("c", "3"),
                     letter("d", "4"), letter("e", "5").with("x-dlq-redrive-count", "3")});

    EXPECT_TRUE(run({.canary = 0, .most = 2}));

    EXPECT_EQ(queue.done_letters, "13");
    EXPECT_EQ(queue.left_letters, "2"); // and nothing behind: it comes again
}

TEST_F(RedriveTest, ADryRunSendsNothingAndRemembersNothing) {
    queue.add_batch({letter("a", "1"), letter("b", "2").with("x-dlq-redrive-count", "3")});

    EXPECT_TRUE(run({.dry_run = true}));

    EXPECT_EQ(sent, "");
    EXPECT_EQ(queue.done_letters + queue.left_letters, "");
    EXPECT_EQ(redrive->figures().sent, 1U);
    EXPECT_EQ(redrive->figures().over_limit, 1U);
}

TEST_F(RedriveTest, AnInterruptionFinishesWhatWasBegun) {
    interrupt_at = "2";
    queue.add_batch({letter("a", "1"), letter("b", "2"), letter("c", "3")});
    queue.add_batch({letter("d", "4")});

    EXPECT_TRUE(run({.canary = 0}));

    EXPECT_EQ(sent, "|12");
    EXPECT_EQ(queue.done_letters, "12");
    EXPECT_TRUE(redrive->was_interrupted());
    EXPECT_TRUE(queue.is_finished);
    EXPECT_EQ(redrive->figures().held_back, 1U);
}

TEST_F(RedriveTest, LettersThatCannotBeReadAreSaidToBe) {
    queue.failure = Error{make_error_code(away)};

    EXPECT_EQ(run({}).error(), away);

    EXPECT_TRUE(redrive->could_not_read());
    EXPECT_TRUE(queue.is_finished);
}

TEST(RateTest, SoManyASecondAndATenthOfThemAtOnce) {
    EXPECT_EQ(limit_of(1).permits, 1U);
    EXPECT_EQ(limit_of(1).rate().effective_burst(), 1U);
    EXPECT_EQ(limit_of(500).permits, 500U);
    EXPECT_EQ(limit_of(500).rate().effective_burst(), 50U);
    EXPECT_EQ(limit_of(500).period, std::chrono::seconds{1});
}

} // namespace
} // namespace velostream::dlq
