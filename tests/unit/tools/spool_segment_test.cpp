// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/spool_segment.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "spool_log.hpp"
#include "support/temporary_folder.hpp"

namespace velostream::dlq {
namespace {

namespace fs = std::filesystem;

class SpoolSegmentTest : public testing::Test {
  protected:
    /// A spool with these payloads, numbered from 1, in as many files as there are groups.
    void spool(const std::vector<std::vector<std::string_view>>& groups) const {
        auto log = SpoolLog::open(open_spool_folder(folder_).value(), {.segment_size = 1}).value();
        for (const auto& group : groups) log.append(group).value();
    }
    std::string read(const std::string& name) const {
        std::ostringstream bytes;
        bytes << std::ifstream{folder_ / name, std::ios::binary}.rdbuf();
        return bytes.str();
    }
    void write(const std::string& name, const std::string& bytes) const {
        std::ofstream{folder_ / name, std::ios::binary} << bytes;
    }
    std::string payloads() const {
        std::string text;
        const auto names = segments_of(folder_).value();
        for (const auto& name : names) {
            const auto segment = read_segment(folder_, name).value();
            for (const auto& frame : segment->frames())
                text += std::to_string(frame.sequence) + "=" + std::string{frame.payload} + " ";
        }
        return text;
    }

    const TemporaryFolder temporary_;
    const fs::path folder_ = temporary_.path() / "spool";
};

TEST_F(SpoolSegmentTest, WhatASpoolHoldsIsReadInItsOrderWhileSomebodyHasIt) {
    spool({{"one", "two"}, {"three"}});
    const auto owner = open_spool_folder(folder_).value();

    EXPECT_EQ(payloads(), "1=one 2=two 3=three ");
    EXPECT_FALSE(LockedSpool::open(folder_)); // but is not taken from him
}

TEST_F(SpoolSegmentTest, AFileThatHasGoneMeanwhileIsNone) {
    spool({{"one"}});

    EXPECT_FALSE(read_segment(folder_, "00000000000000000009.spool").value());
}

TEST_F(SpoolSegmentTest, AFileThatCannotBeReadIsNotTakenForAnEmptyOne) {
    fs::create_directories(folder_ / "00000000000000000001.spool"); // opens, but does not read

    const auto segment = read_segment(folder_, "00000000000000000001.spool");

    ASSERT_FALSE(segment);
    EXPECT_EQ(segment.error().code(), boost::system::errc::is_a_directory);
    EXPECT_NE(segment.error().detail().find("00000000000000000001.spool"), std::string_view::npos);
}

TEST_F(SpoolSegmentTest, AFolderThatIsNotThereIsAnErrorAndIsNotMade) {
    EXPECT_FALSE(segments_of(folder_));
    EXPECT_FALSE(LockedSpool::open(folder_));
    EXPECT_FALSE(fs::exists(folder_));
}

TEST_F(SpoolSegmentTest, DamageIsPassedOverAndCounted) {
    spool({{"one", "two", "three"}});
    const auto name = segments_of(folder_).value().front();
    auto bytes = read(name);
    bytes[bytes.find("two")] = 'T';
    write(name, bytes + "torn");

    const auto segment = read_segment(folder_, name).value();

    ASSERT_EQ(segment->frames().size(), 2U);
    EXPECT_EQ(segment->frames()[1].payload, "three");
    EXPECT_EQ(segment->damaged(), spool_format::frame_header_size + 3);
    EXPECT_EQ(segment->torn(), 4U);
}

TEST_F(SpoolSegmentTest, OnlyFilesOfLettersCount) {
    EXPECT_EQ(
        segment_names({"lock", "00000000000000000002.spool", "00000000000000000001.spool.bad", "1.spool",
                       "00000000000000000001.spool", "00000000000000000001.spool.part", "0000000000000000000x.spool"}),
        (std::vector<std::string>{"00000000000000000001.spool", "00000000000000000002.spool"}));
}

TEST_F(SpoolSegmentTest, OfAFileOnlyWhatIsKeptStaysAndTheSpoolGoesOnWithIt) {
    spool({{"one", "two", "three"}, {"four"}});
    {
        auto locked = LockedSpool::open(folder_).value();
        const auto names = locked.segments().value();
        const auto segment = locked.read(names[0]).value();
        const std::vector kept{segment.frames()[1]};
        locked.keep(segment, kept).value();
    }

    EXPECT_EQ(payloads(), "2=two 4=four ");
    auto log = SpoolLog::open(open_spool_folder(folder_).value(), {}).value();
    EXPECT_EQ(log.get_stats().waiting, 2U);
    const std::vector<std::string_view> next{"five"};
    EXPECT_EQ(log.append(next).value(), 5U); // no number comes twice
}

TEST_F(SpoolSegmentTest, AFileOfWhichNothingIsKeptGoes) {
    spool({{"one"}, {"two"}});
    auto locked = LockedSpool::open(folder_).value();
    const auto segment = locked.read(locked.segments().value()[0]).value();

    locked.keep(segment, {}).value();

    EXPECT_EQ(payloads(), "2=two ");
}

TEST_F(SpoolSegmentTest, WhatAKilledRunLeftIsNoObstacle) {
    spool({{"one", "two"}});
    auto locked = LockedSpool::open(folder_).value();
    const auto segment = locked.read(locked.segments().value()[0]).value();
    write(segment.name() + ".part", "half a file");
    const std::vector kept{segment.frames()[0]};

    locked.keep(segment, kept).value();

    EXPECT_EQ(payloads(), "1=one ");
    EXPECT_FALSE(fs::exists(folder_ / (segment.name() + ".part")));
}

} // namespace
} // namespace velostream::dlq
