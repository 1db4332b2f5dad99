// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "dead_letter_fixture.hpp"

namespace velostream {
namespace {

class DeadLetterLadder : public DeadLetterFixture {
  protected:
    DeadLetterLadder() {
        frames = "totals+0x10\ntotals+0x20\ntotals+0x30";
        context.stack_trace = frames;
        error = Error{Errc::connect_failed, "broker 1: " + std::string(60, 'x')}.with_inner(
            Error{Errc::broker_unreachable, "broker 2"}.with_inner(Errc::deadline_exceeded));
        config.header_families = {.connect = true, .spring = true, .streams = true};
    }

    DeadLetter letter_within(std::size_t limit) const {
        auto bounded = config;
        bounded.max_record_size = limit;
        return make_dead_letter(record, error, bounded, context);
    }
    /// The smallest size at which `holds` is true of the letter; it is true of the largest.
    std::size_t edge(const std::function<bool(const DeadLetter&)>& holds) const {
        std::size_t low = 0, high = letter().record_size();
        while (low < high) {
            const auto middle = (low + high) / 2;
            if (holds(letter_within(middle)))
                high = middle;
            else
                low = middle + 1;
        }
        return high;
    }
    void expect_original(const DeadLetter& letter) const {
        EXPECT_EQ(letter.key(), record.key);
        EXPECT_EQ(letter.value(), record.value);
        EXPECT_TRUE(std::ranges::equal(letter.headers().first(3), headers));
    }

    std::string frames;
};

bool has(const DeadLetter& letter, std::string_view name) {
    return letter.header(name) != nullptr;
}
std::string cut_parts(const DeadLetter& letter) {
    return text(letter, "x-dlq-truncated");
}

TEST_F(DeadLetterLadder, LeavesALetterAloneThatFits) {
    const auto whole = letter();

    const auto same = letter_within(whole.record_size());

    EXPECT_TRUE(std::ranges::equal(same.headers(), whole.headers()));
    EXPECT_EQ(cut_parts(same), "<absent>");
}

TEST_F(DeadLetterLadder, TheSizeOfARecordIsThatOfItsBytesAndOfWhatTheFormatAdds) {
    const auto whole = letter();

    EXPECT_EQ(whole.record_size(), whole.size_bytes() + 88 + 10 * whole.headers().size());
}

TEST_F(DeadLetterLadder, OneByteLessCostsTheStackTraceItsOutermostFrames) {
    const auto shorter = letter_within(letter().record_size() - 1);

    EXPECT_EQ(text(shorter, "__connect.errors.exception.stacktrace"), "totals+0x10");
    EXPECT_EQ(text(shorter, "kafka_dlt-exception-stacktrace"), "totals+0x10");
    EXPECT_EQ(text(shorter, "__streams.errors.stacktrace"), "totals+0x10");
    EXPECT_EQ(cut_parts(shorter), "stacktrace=35");
    EXPECT_EQ(text(shorter, "x-dlq-chain"), text(letter(), "x-dlq-chain"));
    expect_original(shorter);
}

TEST_F(DeadLetterLadder, AStackTraceOfWhichNoFrameFitsIsLeftOut) {
    const auto last = edge([](const auto& l) { return has(l, "__connect.errors.exception.stacktrace"); });

    const auto without = letter_within(last - 1);

    EXPECT_FALSE(has(without, "kafka_dlt-exception-stacktrace") || has(without, "__streams.errors.stacktrace"));
    EXPECT_EQ(cut_parts(without), "stacktrace=35");
    EXPECT_EQ(text(without, "x-dlq-chain"), text(letter(), "x-dlq-chain"));
}

TEST_F(DeadLetterLadder, ThenTheChainLosesItsInnermostLinks) {
    const auto whole = text(letter(), "x-dlq-chain");
    const auto last = edge([&](const auto& l) { return text(l, "x-dlq-chain") == whole; });

    const auto shorter = letter_within(last - 1);

    const auto kept = text(shorter, "x-dlq-chain");
    EXPECT_TRUE(kept.ends_with(R"("message":"no broker reachable: broker 2"}])")) << kept;
    EXPECT_EQ(kept.substr(0, kept.size() - 1), whole.substr(0, kept.size() - 1));
    EXPECT_EQ(cut_parts(shorter), "stacktrace=35,chain=" + std::to_string(whole.size()));
    EXPECT_EQ(text(shorter, "__connect.errors.exception.message"),
              text(letter(), "__connect.errors.exception.message"));
}

TEST_F(DeadLetterLadder, ThenItIsLeftOut) {
    const auto last = edge([](const auto& l) { return has(l, "x-dlq-chain"); });

    const auto without = letter_within(last - 1);

    EXPECT_EQ(text(without, "__connect.errors.exception.message"),
              text(letter(), "__connect.errors.exception.message"));
}

TEST_F(DeadLetterLadder, ThenTheMessageLosesItsEndInEveryFamily) {
    const auto whole = text(letter(), "__connect.errors.exception.message");
    const auto last = edge([&](const auto& l) { return text(l, "__connect.errors.exception.message") == whole; });

    const auto shorter = letter_within(last - 1);

    const auto kept = text(shorter, "__connect.errors.exception.message");
    EXPECT_TRUE(kept.ends_with("...")) << kept;
    EXPECT_LT(kept.size(), whole.size());
    EXPECT_EQ(text(shorter, "kafka_dlt-exception-message"), kept);
    EXPECT_EQ(text(shorter, "__streams.errors.message"), kept);
    EXPECT_TRUE(cut_parts(shorter).ends_with(",message=" + std::to_string(whole.size()))) << cut_parts(shorter);
}

TEST_F(DeadLetterLadder, ThenTheMessageIsLeftOutWhichIsNotANullOne) {
    const auto last = edge([](const auto& l) { return has(l, "__connect.errors.exception.message"); });

    const auto without = letter_within(last - 1);

    EXPECT_FALSE(has(without, "kafka_dlt-exception-message") || has(without, "__streams.errors.message"));
    EXPECT_EQ(text(without, "__streams.errors.exception"), "velostream:43");
}

TEST_F(DeadLetterLadder, ThenStreamsAndThenSpringsHeadersAreLeftOut) {
    const auto streams = edge([](const auto& l) { return has(l, "__streams.errors.topic"); });
    const auto spring = edge([](const auto& l) { return has(l, "kafka_dlt-original-topic"); });
    ASSERT_LT(spring, streams);

    EXPECT_TRUE(has(letter_within(streams - 1), "kafka_dlt-exception-fqcn"));
    const auto without = letter_within(spring - 1);
    EXPECT_TRUE(has(without, "__connect.errors.exception.class.name"));
    EXPECT_NE(cut_parts(without).find(",streams="), std::string::npos);
    EXPECT_NE(cut_parts(without).find(",spring="), std::string::npos);
    expect_original(without);
}

TEST_F(DeadLetterLadder, ThenWhoDeadLetteredAndAtLastWhatTheErrorWas) {
    const auto who = edge([](const auto& l) { return has(l, "__connect.errors.connector.name"); });
    const auto what = edge([](const auto& l) { return has(l, "x-dlq-error-type"); });
    ASSERT_LT(what, who);

    const auto without_who = letter_within(who - 1);
    EXPECT_FALSE(has(without_who, "x-dlq-group") || has(without_who, "__connect.errors.class.name"));
    EXPECT_TRUE(has(without_who, "x-dlq-fingerprint"));
    const auto smallest = letter_within(what - 1);
    EXPECT_EQ(names(smallest),
              (Names{"trace", "empty", "trace", "__connect.errors.topic", "__connect.errors.partition",
                     "__connect.errors.offset", "x-dlq-version", "x-dlq-id", "x-dlq-original-timestamp",
                     "x-dlq-original-timestamp-type", "x-dlq-first-failure-ms", "x-dlq-truncated"}));
    EXPECT_NE(cut_parts(smallest).find(",context="), std::string::npos);
    EXPECT_NE(cut_parts(smallest).find(",error="), std::string::npos);
    expect_original(smallest);
}

TEST_F(DeadLetterLadder, TextsThatAreCutTakeAllTheRoomThatThereIs) {
    frames.clear();
    for (int frame = 10; frame < 40; ++frame) frames += "totals+0x" + std::to_string(frame) + '\n';
    context.stack_trace = frames;
    const auto some = edge([](const auto& l) {
        return text(l, "__connect.errors.exception.stacktrace").find("totals+0x20") != std::string::npos;
    });
    EXPECT_EQ(letter_within(some).record_size(), some);

    const auto shortest = letter_within(edge([](const auto& l) { return has(l, "kafka_dlt-exception-message"); }));
    EXPECT_EQ(text(shortest, "kafka_dlt-exception-message").size(), 16u) << "less says nothing";
}

TEST_F(DeadLetterLadder, SaysOnceOfAPartHowLargeItWas) {
    const std::string detail(10'000, 'x');
    error = Error{Errc::connect_failed, detail};
    const auto size = error.message().size();

    const auto shorter =
        letter_within(edge([](const auto& l) { return has(l, "__connect.errors.exception.message"); }));

    EXPECT_TRUE(cut_parts(shorter).ends_with("message=" + std::to_string(size) + ",stacktrace=35"))
        << cut_parts(shorter);
}

TEST_F(DeadLetterLadder, SaysNothingOfAPartThatIsNotThere) {
    context.application = context.instance = context.group = context.handler = {};

    EXPECT_EQ(cut_parts(letter_within(0)).find("context="), std::string::npos);
}

TEST_F(DeadLetterLadder, IsNeverLargerThanTheLimitDownToTheSmallest) {
    const auto smallest = letter_within(0).record_size();

    for (auto limit = smallest; limit <= letter().record_size(); ++limit)
        ASSERT_LE(letter_within(limit).record_size(), limit);
}

TEST_F(DeadLetterLadder, ARecordThatIsTooLargeByItselfStaysWhole) {
    const std::string large(5000, 'v');
    record.value = large;

    const auto smallest = letter_within(1000);

    EXPECT_GT(smallest.record_size(), 1000u);
    EXPECT_EQ(smallest.value(), large);
    EXPECT_EQ(smallest.headers().size(), letter_within(0).headers().size());
    expect_original(smallest);
}

TEST_F(DeadLetterLadder, TheOnlyFamilyStays) {
    for (const auto& only :
         {HeaderFamilies{.connect = false, .spring = true}, HeaderFamilies{.connect = false, .streams = true}}) {
        config.header_families = only;
        const auto smallest = letter_within(0);
        EXPECT_TRUE(has(smallest, only.spring ? "kafka_dlt-original-topic" : "__streams.errors.topic"));
    }
}

TEST_F(DeadLetterLadder, HeadersOfAnEarlierRoundAreReplacedEvenByThoseThatAreLeftOut) {
    const auto first = letter();
    record.headers = HeadersView{first.headers()};

    EXPECT_FALSE(has(letter_within(0), "__streams.errors.topic"));
}

TEST_F(DeadLetterLadder, StaysWithinTheLimitWhereNothingButTheRecordIsTold) {
    config.include_error_details = false;
    config.include_stack_trace = false;
    config.header_families = {};

    const auto smallest = letter_within(0);

    EXPECT_TRUE(cut_parts(smallest).starts_with("context=")) << cut_parts(smallest);
    expect_original(smallest);
}

} // namespace
} // namespace velostream
