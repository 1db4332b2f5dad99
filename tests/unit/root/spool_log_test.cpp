// SPDX-License-Identifier: Apache-2.0
#include "spool_log.hpp"

#include <gtest/gtest.h>

#include <boost/system/errc.hpp>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "support/modelled_disk.hpp"

namespace velostream {
namespace {

using testing::ModelledDisk;

constexpr Bytes all = Bytes{1} << 30;

class SpoolLogTest : public ::testing::Test {
  protected:
    SpoolLog opened() {
        auto log = SpoolLog::open(disk.folder(), limits);
        EXPECT_TRUE(log) << log.error();
        return std::move(*log);
    }
    static std::uint64_t append(SpoolLog& log, std::initializer_list<std::string_view> payloads) {
        const auto first = log.append(std::vector<std::string_view>{payloads});
        EXPECT_TRUE(first) << first.error();
        return first ? *first : 0;
    }
    static std::vector<std::string> contents(SpoolLog& log, std::uint64_t after = 0, Bytes most = all) {
        std::vector<std::string> found;
        SpoolCursor cursor{after};
        auto entries = log.read(cursor, most);
        EXPECT_TRUE(entries) << entries.error();
        for (auto& entry : *entries) found.push_back(std::move(entry.payload));
        return found;
    }
    std::string& file(std::size_t number) {
        return std::next(disk.names.begin(), static_cast<long>(number))->second->now;
    }

    using Texts = std::vector<std::string>;

    ModelledDisk disk;
    SpoolLimits limits{.segment_size = 200, .max_size = 10'000, .min_free_disk = 0.05};
};

TEST_F(SpoolLogTest, KeepsTheOrderOfWhatIsAppended) {
    auto log = opened();

    EXPECT_EQ(append(log, {"a", "", "b"}), 1u);
    EXPECT_EQ(append(log, {"c"}), 4u);

    EXPECT_EQ(contents(log), (Texts{"a", "", "b", "c"}));
    EXPECT_EQ(contents(log, 2), (Texts{"b", "c"}));
    EXPECT_EQ(contents(log, 4), Texts{});
    EXPECT_EQ(log.get_stats().waiting, 4u);
}

TEST_F(SpoolLogTest, TheNextProcessFindsWhatIsNotDone) {
    {
        auto log = opened();
        append(log, {"a", "b"});
        append(log, {std::string(150, 'x')}); // in a file of its own
        append(log, {"c"});
        ASSERT_TRUE(log.done(1));
        ASSERT_TRUE(log.done(2));
    }
    auto log = opened();

    EXPECT_EQ(contents(log), (Texts{std::string(150, 'x'), "c"}));
    EXPECT_EQ(append(log, {"d"}), 5u) << "no number comes twice";
    EXPECT_EQ(contents(log, 4), Texts{"d"});
}

TEST_F(SpoolLogTest, AFileGoesWhenAllOfItIsDoneInAnyOrder) {
    auto log = opened();
    append(log, {"a", "b"});
    append(log, {std::string(150, 'x')});

    ASSERT_TRUE(log.done(3));
    EXPECT_EQ(log.get_stats().segments, 1u) << "also the one that is being written";
    ASSERT_TRUE(log.done(2));
    EXPECT_EQ(contents(log), (Texts{"a", "b"})) << "all of a file stays, or none";
    ASSERT_TRUE(log.done(1));

    EXPECT_TRUE(disk.names.empty());
    EXPECT_EQ(log.get_stats().size, 0u);
    append(log, {"later"});
    EXPECT_EQ(contents(log), Texts{"later"});
}

TEST_F(SpoolLogTest, ReadsInPortions) {
    auto log = opened();
    for (int i = 0; i < 40; ++i) append(log, {std::string(30, static_cast<char>('a' + i % 26))});

    SpoolCursor cursor;
    std::uint64_t after = 0;
    std::size_t seen = 0;
    for (;;) {
        const auto entries = log.read(cursor, 100);
        ASSERT_TRUE(entries);
        if (entries->empty()) break;
        EXPECT_LE(entries->size(), 4u);
        for (const auto& entry : *entries) {
            EXPECT_EQ(entry.sequence, ++after);
            EXPECT_EQ(entry.payload, std::string(30, static_cast<char>('a' + seen++ % 26)));
        }
    }
    EXPECT_EQ(seen, 40u);
    EXPECT_EQ(contents(log, 0, 1).size(), 1u) << "at least one";
}

TEST_F(SpoolLogTest, TakesNoMoreThanItsQuota) {
    limits.max_size = 300;
    auto log = opened();
    append(log, {std::string(150, 'x')});

    const auto refused = log.append(std::vector<std::string_view>{std::string(150, 'y')});

    EXPECT_EQ(refused.error(), Errc::disk_quota_exceeded);
    EXPECT_EQ(refused.error().detail(), "the spool holds 178 of 300 bytes, and is asked for 178 more");
    ASSERT_TRUE(log.done(1));
    EXPECT_EQ(append(log, {std::string(150, 'z')}), 2u);
}

TEST_F(SpoolLogTest, LeavesTheDiskWhatMustStayFree) {
    auto log = opened();
    disk.free_space = (std::uint64_t{1} << 41) / 20 + 100;

    const auto refused = log.append(std::vector<std::string_view>{std::string(150, 'x')});

    EXPECT_EQ(refused.error(), Errc::disk_quota_exceeded);
    EXPECT_EQ(refused.error().detail(),
              "the spool's disk has 109951162877 bytes free, of which 109951162777 must "
              "stay, and the spool is asked for 178");
    append(log, {"small"});
    disk.free_space = (std::uint64_t{1} << 41) / 20 + 178;
    append(log, {std::string(150, 'x')});
}

TEST_F(SpoolLogTest, ATornEndIsCutOff) {
    {
        auto log = opened();
        append(log, {"a", "b"});
    }
    file(0) += "\xF5VLf and no more";

    auto log = opened();

    EXPECT_EQ(contents(log), (Texts{"a", "b"}));
    EXPECT_EQ(log.get_stats().torn, 16u);
    EXPECT_EQ(log.get_stats().corrupt, 0u);
}

TEST_F(SpoolLogTest, EveryBeginningOfAFileOpensWithTheFramesThatItHas) {
    {
        auto log = opened();
        append(log, {"a", "bb", "ccc"});
    }
    const auto whole = file(0);
    for (std::size_t size = 0; size <= whole.size(); ++size) {
        if (disk.names.empty()) disk.names["00000000000000000001.spool"] = std::make_shared<ModelledDisk::Content>();
        file(0) = whole.substr(0, size);
        auto log = opened();
        const std::size_t frames = size < 29 ? 0 : size < 51 ? 1 : size < 74 ? 2 : 3;
        const Texts texts{"a", "bb", "ccc"};
        EXPECT_EQ(contents(log), Texts(texts.begin(), texts.begin() + static_cast<long>(frames))) << size;
    }
}

TEST_F(SpoolLogTest, ADamagedPlaceIsPassedAndItsFileKept) {
    {
        auto log = opened();
        append(log, {"a", "b", "c"});
        append(log, {std::string(150, 'x')}); // so that it is not the end of all
    }
    const std::string before = file(0);
    file(0)[8 + 21 + 20] ^= 1; // in the payload of b

    auto log = opened();
    EXPECT_EQ(contents(log), (Texts{"a", "c", std::string(150, 'x')}));
    EXPECT_EQ(log.get_stats().corrupt, 21u);
    EXPECT_EQ(log.get_stats().waiting, 3u);
    for (const auto sequence : {1u, 3u, 4u}) ASSERT_TRUE(log.done(sequence));

    ASSERT_EQ(disk.names.size(), 1u);
    EXPECT_EQ(disk.names.begin()->first, "00000000000000000001.spool.bad");
    EXPECT_EQ(disk.names.begin()->second->now.size(), before.size());
    EXPECT_TRUE(contents(log).empty());
}

TEST_F(SpoolLogTest, AnEndThatIsNoFrameIsDamageWhereAnotherFileFollows) {
    {
        auto log = opened();
        append(log, {"a"});
        append(log, {std::string(190, 'x')}); // in a file of its own
    }
    file(0) += "torn";
    const auto damaged = file(0);

    auto log = opened();

    EXPECT_EQ(log.get_stats().corrupt, 4u);
    EXPECT_EQ(log.get_stats().torn, 0u);
    EXPECT_EQ(file(0), damaged);
}

TEST_F(SpoolLogTest, AFrameThatBelongsSomewhereElseIsDamage) {
    std::string frames{spool_format::file_header};
    for (const auto sequence : {9U, 10U, 3U, 10U, 11U}) spool_format::append_frame(frames, sequence, "a");
    spool_format::append_frame(frames, std::uint64_t{1} << 60, "far");
    disk.names["00000000000000000010.spool"] = std::make_shared<ModelledDisk::Content>();
    file(0) = frames;

    auto log = opened();

    EXPECT_EQ(log.get_stats().waiting, 2u);
    EXPECT_EQ(log.get_stats().corrupt, 3 * 21u + 23u);
    EXPECT_EQ(contents(log), (Texts{"a", "a"}));
    EXPECT_EQ(append(log, {"b"}), 12u);
}

TEST_F(SpoolLogTest, AFrameThatBelongsToTheNextFileIsDamage) {
    const auto put = [this](const char* name, const std::vector<std::pair<std::uint64_t, const char*>>& frames) {
        auto& content = disk.names[name] = std::make_shared<ModelledDisk::Content>();
        content->now = spool_format::file_header;
        for (const auto& [sequence, payload] : frames) spool_format::append_frame(content->now, sequence, payload);
    };
    put("00000000000000000010.spool", {{10, "a"}, {12, "stray"}, {11, "b"}, {13, "stray"}});
    put("00000000000000000012.spool", {{12, "c"}, {13, "d"}});

    auto log = opened();

    EXPECT_EQ(contents(log), (Texts{"a", "b", "c", "d"}));
    EXPECT_EQ(log.get_stats().waiting, 4u);
    EXPECT_EQ(log.get_stats().corrupt, 2 * 25u);
}

TEST_F(SpoolLogTest, TheNumberOfAFileWithoutAFrameIsNotGivenAgain) {
    auto& content = disk.names["00000000000000000007.spool"] = std::make_shared<ModelledDisk::Content>();
    content->now = spool_format::file_header;

    auto log = opened();

    EXPECT_EQ(append(log, {"a"}), 8u);
}

TEST_F(SpoolLogTest, ATornEndThatWasCutOffDoesNotComeBackWithAPowerLoss) {
    {
        auto log = opened();
        append(log, {"a"});
    }
    const auto whole = file(0);
    const auto content = disk.names.begin()->second;
    content->now = content->on_disk = whole + "torn";
    {
        auto log = opened();
        EXPECT_EQ(log.get_stats().torn, 4u);
    }

    disk.lose_power(0);

    EXPECT_EQ(file(0), whole);
}

TEST_F(SpoolLogTest, WhatFailedDoesNotComeBackWithAPowerLoss) {
    auto log = opened();
    append(log, {"a"});
    const auto whole = file(0);
    const auto content = disk.names.begin()->second;
    disk.goes_well = [content, syncs = 0](ModelledDisk::Call call, std::size_t) mutable {
        if (call != ModelledDisk::Call::sync || syncs++ > 0) return true;
        content->on_disk = content->now; // it has come there all the same
        return false;
    };
    EXPECT_FALSE(log.append(std::vector<std::string_view>{"failed"}));
    EXPECT_EQ(file(0), whole);

    disk.lose_power(0);

    EXPECT_EQ(file(0), whole);
}

TEST_F(SpoolLogTest, ADiskThatTakesNothingIsFull) {
    auto log = opened();
    append(log, {"a"});
    disk.takes_bytes = false;

    const auto appended = log.append(std::vector<std::string_view>{"b"});

    EXPECT_EQ(appended.error(), boost::system::errc::make_error_condition(boost::system::errc::no_space_on_device));
    EXPECT_EQ(contents(log), Texts{"a"});
}

TEST_F(SpoolLogTest, DamageWhileItIsOpenIsPassedAsWell) {
    auto log = opened();
    append(log, {"a", "b", "c"});
    file(0)[8 + 21 + 20] ^= 1;

    EXPECT_EQ(contents(log), (Texts{"a", "c"}));
    ASSERT_TRUE(log.done(1));
    ASSERT_TRUE(log.done(3));

    EXPECT_EQ(log.get_stats().waiting, 0u);
    EXPECT_EQ(disk.names.count("00000000000000000001.spool.bad"), 1u);
}

TEST_F(SpoolLogTest, FilesOfOthersAreLeftAlone) {
    disk.names["notes.txt"] = std::make_shared<ModelledDisk::Content>();
    disk.names["1.spool"] = std::make_shared<ModelledDisk::Content>();

    auto log = opened();
    append(log, {"a"});
    ASSERT_TRUE(log.done(1));

    EXPECT_EQ(disk.names.size(), 2u);
}

TEST_F(SpoolLogTest, BitsThatFlipNeverMakeAnotherPayload) {
    {
        auto log = opened();
        append(log, {"one", "two", "three", "four"});
    }
    const auto whole = file(0);
    const std::set<std::string> written{"one", "two", "three", "four"};
    std::mt19937 random{7};
    for (int round = 0; round < 2000; ++round) {
        if (disk.names.empty()) disk.names["00000000000000000001.spool"] = std::make_shared<ModelledDisk::Content>();
        disk.names.erase("00000000000000000001.spool.bad");
        if (disk.names.empty()) disk.names["00000000000000000001.spool"] = std::make_shared<ModelledDisk::Content>();
        file(0) = whole;
        for (auto flips = 1 + random() % 3; flips > 0; --flips)
            file(0)[random() % whole.size()] ^= static_cast<char>(1u << random() % 8);
        auto log = opened();
        const auto found = contents(log);
        for (const auto& payload : found) ASSERT_TRUE(written.contains(payload)) << payload;
        ASSERT_EQ(std::set(found.begin(), found.end()).size(), found.size());
    }
}

// A process that appends and does, as far as its disk lets it.
struct Seen {
    std::map<std::uint64_t, std::string> safe; // told to be
    std::set<std::uint64_t> done;
    std::map<std::uint64_t, std::string> tried;
};
void run(SpoolLog& log, Seen& seen) {
    std::uint64_t number = 0;
    for (int batch = 0; batch < 8; ++batch) {
        std::vector<std::string> payloads;
        for (int i = 0; i <= batch % 3; ++i)
            payloads.push_back("payload " + std::to_string(++number) + std::string(40, '.'));
        const std::vector<std::string_view> views(payloads.begin(), payloads.end());
        if (const auto first = log.append(views))
            for (std::size_t i = 0; i < payloads.size(); ++i) seen.safe[*first + i] = payloads[i];
        if (batch % 3 != 2) continue;
        for (const auto& [sequence, payload] : seen.safe) { // the older half
            if (sequence > number / 2) break;
            if (!seen.done.insert(sequence).second) continue;
            static_cast<void>(log.done(sequence));
        }
    }
}
void expect_all_there(SpoolLog& log, const Seen& seen, const std::string& what) {
    std::map<std::uint64_t, std::string> found;
    std::uint64_t last = 0;
    SpoolCursor cursor;
    auto entries = log.read(cursor, all);
    ASSERT_TRUE(entries) << what;
    for (auto& entry : *entries) {
        ASSERT_GT(entry.sequence, last) << what;
        last = entry.sequence;
        found[entry.sequence] = entry.payload;
    }
    for (const auto& [sequence, payload] : seen.safe) {
        if (seen.done.contains(sequence)) continue;
        ASSERT_TRUE(found.contains(sequence)) << what << ": lost " << payload;
        ASSERT_EQ(found[sequence], payload) << what;
    }
}

TEST_F(SpoolLogTest, LosesNothingThatWasSafeWhenThePowerFailsAtAnyCall) {
    for (std::size_t at = 0;; ++at) {
        bool is_over = false;
        for (const unsigned kept : {0u, 100u, 200u, 256u}) {
            ModelledDisk other;
            Seen seen;
            other.goes_well = [&](ModelledDisk::Call, std::size_t call) { return call < at; }; // the process is gone
            {
                auto log = SpoolLog::open(other.folder(), limits);
                ASSERT_TRUE(log);
                run(*log, seen);
            }
            is_over = other.calls < at;
            other.lose_power(kept);
            other.goes_well = [](ModelledDisk::Call, std::size_t) { return true; };
            auto log = SpoolLog::open(other.folder(), limits);
            ASSERT_TRUE(log) << log.error();
            expect_all_there(*log, seen, "call " + std::to_string(at) + ", kept " + std::to_string(kept));
        }
        if (is_over) break;
    }
}

TEST_F(SpoolLogTest, OneCallThatFailsLosesNothingAndHoldsUpNothing) {
    for (std::size_t at = 0;; ++at) {
        ModelledDisk other;
        Seen seen;
        other.goes_well = [&](ModelledDisk::Call, std::size_t call) { return call != at; };
        const auto what = "call " + std::to_string(at);
        {
            auto log = SpoolLog::open(other.folder(), limits);
            ASSERT_TRUE(log);
            run(*log, seen);
            expect_all_there(*log, seen, what + ", same process");
            EXPECT_GE(seen.safe.size(), 12u) << what << ": one batch, and none after it";
        }
        const bool is_over = other.calls <= at;
        other.goes_well = [](ModelledDisk::Call, std::size_t) { return true; };
        auto next = SpoolLog::open(other.folder(), limits);
        ASSERT_TRUE(next) << what;
        expect_all_there(*next, seen, what + ", next process");
        EXPECT_EQ(next->get_stats().corrupt + next->get_stats().torn, 0u) << what << ": what failed was cut off";
        if (is_over) break;
    }
}

TEST_F(SpoolLogTest, WhatTheDiskDidNotTakeIsCutOffBehindWhatItTook) {
    limits.segment_size = 5'000;
    {
        auto log = opened();
        append(log, {"a"});
        disk.goes_well = [](ModelledDisk::Call call, std::size_t) { return call != ModelledDisk::Call::write; };
        EXPECT_FALSE(log.append(std::vector<std::string_view>{"half of this is written"}));
        disk.goes_well = [](ModelledDisk::Call, std::size_t) { return true; };
        append(log, {"b"});
        EXPECT_EQ(log.get_stats().failed_writes, 1u);
    }
    auto log = opened();

    EXPECT_EQ(contents(log), (Texts{"a", "b"}));
    EXPECT_EQ(log.get_stats().corrupt + log.get_stats().torn, 0u);
}

TEST_F(SpoolLogTest, AFileThatCouldNotBeRemovedGoesWithTheNext) {
    auto log = opened();
    append(log, {"a"});
    append(log, {std::string(190, 'x')}); // in a file of its own
    disk.goes_well = [](ModelledDisk::Call call, std::size_t) { return call != ModelledDisk::Call::remove; };
    EXPECT_FALSE(log.done(1));
    disk.goes_well = [](ModelledDisk::Call, std::size_t) { return true; };

    EXPECT_TRUE(log.done(2));

    EXPECT_TRUE(disk.names.empty());
    EXPECT_EQ(log.get_stats().segments, 0u);
}

TEST_F(SpoolLogTest, ReadsNoMoreOfALargeFileThanAPortionNeeds) {
    limits = {.segment_size = 10'000'000, .max_size = 100'000'000};
    auto log = opened();
    for (int i = 0; i < 60; ++i) append(log, {std::string(100'000, 'x')});
    disk.bytes_read = 0;

    EXPECT_EQ(contents(log, 0, 2'000'000).size(), 20u);

    EXPECT_LE(disk.bytes_read, 4'000'000u) << "and not all six";
}

} // namespace
} // namespace velostream
