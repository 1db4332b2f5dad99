// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "made_letter.hpp"
#include "spool_log.hpp"
#include "support/run_program.hpp"
#include "support/temporary_folder.hpp"
#include "tools/dlq/blocking.hpp"
#include "tools/dlq/letter_queue.hpp"

namespace velostream::dlq {
namespace {

namespace fs = std::filesystem;

constexpr auto first_file = "00000000000000000001.spool";

class SpoolQueueTest : public testing::Test {
  protected:
    /// A spool with a file for each group of values.
    void spool(const std::vector<std::vector<std::string>>& groups) const {
        auto log = SpoolLog::open(open_spool_folder(folder_).value(), {.segment_size = 1}).value();
        for (const auto& group : groups) {
            std::vector<std::string> payloads;
            for (const auto& value : group) {
                MadeLetter made;
                made.record.value = value;
                payloads.push_back(SpooledRecord::encoded(made.letter().record));
            }
            log.append(std::vector<std::string_view>{payloads.begin(), payloads.end()}).value();
        }
    }
    std::string content(const std::string& name) const { return content_of((folder_ / name).string()); }
    void damage(const std::string& name, std::string_view value) const {
        auto bytes = content(name);
        bytes[bytes.find(value)] = '!';
        std::ofstream{folder_ / name, std::ios::binary} << bytes;
    }
    /// Works off everything; the values.
    static std::string done_with_all(SpoolQueue& queue) {
        std::string values;
        for (;;) {
            const auto letters = wait_for(queue.next()).value();
            if (letters.empty()) return values;
            for (std::size_t at = 0; at < letters.size(); ++at) {
                values.append(letters[at].record.value.value()).append(1, ' ');
                queue.done(at);
            }
        }
    }

    const TemporaryFolder temporary_;
    const fs::path folder_ = temporary_.path() / "spool";
};

TEST_F(SpoolQueueTest, WhatIsDoneIsTakenAwayAndWhatIsLeftStays) {
    spool({{"one", "two"}, {"three"}});
    {
        auto queue = SpoolQueue::open(folder_.string()).value();
        ASSERT_EQ(wait_for(queue.next()).value().size(), 2U);
        queue.done(0);
        queue.leave(1);
        ASSERT_EQ(wait_for(queue.next()).value().size(), 1U);
        wait_for(queue.finish()).value();
    }

    auto again = SpoolQueue::open(folder_.string()).value();
    EXPECT_EQ(done_with_all(again), "two three ");
}

TEST_F(SpoolQueueTest, OfADamagedFileThatIsDoneACopyStaysAside) {
    spool({{"one", "broken", "three"}, {"four"}});
    damage(first_file, "broken");
    const auto before = content(first_file);
    {
        auto queue = SpoolQueue::open(folder_.string()).value();

        EXPECT_EQ(done_with_all(queue), "one three four ");

        wait_for(queue.finish()).value();
        ASSERT_EQ(queue.damage().size(), 1U);
        EXPECT_EQ(queue.damage()[0].name, first_file);
        EXPECT_GT(queue.damage()[0].bytes, 0U);
    }
    EXPECT_FALSE(fs::exists(folder_ / first_file));
    EXPECT_EQ(content(std::string{first_file} + ".bad"), before);
    auto log = SpoolLog::open(open_spool_folder(folder_).value(), {}).value();
    EXPECT_EQ(log.get_stats().waiting, 0U);
}

TEST_F(SpoolQueueTest, OfADamagedFileThatIsDoneInPartACopyStaysAsideToo) {
    spool({{"one", "broken", "three"}});
    damage(first_file, "broken");
    const auto before = content(first_file);
    {
        auto queue = SpoolQueue::open(folder_.string()).value();
        ASSERT_EQ(wait_for(queue.next()).value().size(), 2U);
        queue.done(0);
        wait_for(queue.finish()).value();
    }

    EXPECT_EQ(content(std::string{first_file} + ".bad"), before);
    auto again = SpoolQueue::open(folder_.string()).value();
    EXPECT_EQ(done_with_all(again), "three ");
    EXPECT_TRUE(again.damage().empty());
}

TEST_F(SpoolQueueTest, WhatWasBeingWrittenWhenItsProgramEndedIsNoDamage) {
    spool({{"one"}});
    std::ofstream{folder_ / first_file, std::ios::binary | std::ios::app} << "half a frame";
    auto queue = SpoolQueue::open(folder_.string()).value();

    EXPECT_EQ(done_with_all(queue), "one ");

    EXPECT_TRUE(queue.damage().empty());
    EXPECT_FALSE(fs::exists(folder_ / (std::string{first_file} + ".bad")));
}

TEST_F(SpoolQueueTest, AFrameThatIsNoLetterStaysAndIsSaidToBeDamage) {
    {
        auto log = SpoolLog::open(open_spool_folder(folder_).value(), {}).value();
        const auto letter = SpooledRecord::encoded(MadeLetter{}.letter().record);
        log.append(std::vector<std::string_view>{letter, "no letter"}).value();
    }
    {
        auto queue = SpoolQueue::open(folder_.string()).value();
        done_with_all(queue);
        wait_for(queue.finish()).value();
        EXPECT_EQ(queue.damage().size(), 1U);
    }

    EXPECT_NE(content(first_file).find("no letter"), std::string::npos);
}

TEST_F(SpoolQueueTest, WhereNothingCanBeTakenAwayTheRunEndsAndThatIsNoErrorOfReading) {
    spool({{"one", "two"}, {"three"}});
    fs::create_directories(folder_ / (std::string{first_file} + ".part") / "in the way");
    auto queue = SpoolQueue::open(folder_.string()).value();
    ASSERT_EQ(wait_for(queue.next()).value().size(), 2U);
    queue.done(0);

    const auto next = wait_for(queue.next());

    ASSERT_TRUE(next) << next.error();
    EXPECT_TRUE(next->empty());
    EXPECT_FALSE(wait_for(queue.finish()));
}

TEST_F(SpoolQueueTest, NothingFollowsAStop) {
    spool({{"one"}, {"two"}});
    auto queue = SpoolQueue::open(folder_.string()).value();
    ASSERT_EQ(wait_for(queue.next()).value().size(), 1U);

    queue.stop();

    EXPECT_TRUE(wait_for(queue.next()).value().empty());
}

} // namespace
} // namespace velostream::dlq
