// SPDX-License-Identifier: Apache-2.0
// A spool whose disk, memory or folder is not what it was.
#include <gtest/gtest.h>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "spool_log.hpp"
#include "support/interrupted_executor.hpp"
#include "support/modelled_disk.hpp"
#include "support/temporary_folder.hpp"
#include "velostream/dead_letter_queue.hpp"

namespace velostream {
namespace {

using testing::ModelledDisk;
namespace errc = boost::system::errc;

std::uint64_t append(SpoolLog& log, std::string_view payload) {
    const auto first = log.append(std::vector<std::string_view>{payload});
    EXPECT_TRUE(first) << first.error();
    return first ? *first : 0;
}
std::vector<std::string> all_of(SpoolLog& log) {
    SpoolCursor cursor;
    std::vector<std::string> payloads;
    for (auto& entry : log.read(cursor, 1_MiB).value()) payloads.push_back(std::move(entry.payload));
    return payloads;
}
SpoolLog opened(std::unique_ptr<SpoolFiles> files, const SpoolLimits& limits) {
    auto log = SpoolLog::open(std::move(files), limits);
    EXPECT_TRUE(log) << log.error();
    return std::move(*log);
}
// In the middle of the payload that a file has.
void damage(ModelledDisk& disk, const std::string& payload) {
    for (auto& [name, content] : disk.names)
        if (const auto at = content->now.find(payload); at != std::string::npos) content->now[at] ^= 1;
}
constexpr SpoolLimits small_files{.segment_size = 1, .max_size = 1000, .min_free_disk = 0};
constexpr SpoolLimits one_file{.segment_size = 4096, .max_size = 1000, .min_free_disk = 0};

TEST(SpoolFailures, APayloadThatIsDoneIsNotDoneTwiceForWantOfMemory) {
    ModelledDisk disk;
    asio::io_context io;
    InterruptedExecutor::Interruption interruption;
    const InterruptedExecutor executor{io.get_executor(), interruption, false};
    const Spool spool{opened(disk.folder(), one_file), executor};
    for (const auto* payload : {"a", "b"})
        spool.async_append(payload, TimePoint::max(), SteadyTime{}, asio::bind_executor(io, [](const auto&) {}));
    io.run();
    ASSERT_EQ(spool.waiting(), 2u);

    interruption = [] {};
    EXPECT_NO_THROW(spool.done(1)) << "who is told that it was not would deliver it again, and say so again";
    EXPECT_EQ(spool.waiting(), 1u);
    spool.done(1);
    io.restart();
    io.run();

    EXPECT_EQ(spool.waiting(), 1u);
    auto next = opened(disk.folder(), one_file);
    EXPECT_EQ(all_of(next), (std::vector<std::string>{"a", "b"})) << "b is not done";
}

TEST(SpoolFailures, AFileThatSomebodyHasRemovedIsNotInTheWayOfThoseBehindIt) {
    const TemporaryFolder folder;
    auto log = opened(*open_spool_folder(folder.path()), small_files);
    const auto first = append(log, "a"), second = append(log, "b");
    ASSERT_EQ(log.get_stats().segments, 2u);
    std::filesystem::remove(folder.path() / "00000000000000000001.spool");

    EXPECT_TRUE(log.done(first));
    EXPECT_TRUE(log.done(second));

    EXPECT_EQ(log.get_stats().segments, 0u);
    EXPECT_EQ(log.get_stats().size, 0u);
}

TEST(SpoolFailures, WhatGoesIntoARemovedFileIsNotAcknowledged) {
    const TemporaryFolder folder;
    auto log = opened(*open_spool_folder(folder.path() / "spool"), one_file);
    append(log, "a");
    std::filesystem::remove_all(folder.path() / "spool");

    const auto appended = log.append(std::vector<std::string_view>{"b"});

    ASSERT_FALSE(appended) << "the next process would not find it";
    EXPECT_EQ(appended.error().code(), errc::no_such_file_or_directory);
}

TEST(SpoolFailures, AFileThatIsKeptAsideIsReplacedByNoOther) {
    ModelledDisk disk;
    for (const std::string payload : {"first", "second"}) {
        auto log = opened(disk.folder(), small_files);
        const auto kept = append(log, payload);
        append(log, "other");
        damage(disk, payload);
        EXPECT_EQ(all_of(log), std::vector<std::string>{"other"});
        EXPECT_TRUE(log.done(kept + 1));
    }

    EXPECT_EQ(disk.names.size(), 2u) << "as many as were damaged";
}

TEST(SpoolFailures, AFileOfWhichNothingCanBeReadGivesItsRoomBack) {
    ModelledDisk disk;
    auto log = opened(disk.folder(), one_file);
    append(log, "a");
    damage(disk, "a");

    EXPECT_TRUE(all_of(log).empty());

    EXPECT_EQ(log.get_stats().waiting, 0u);
    EXPECT_EQ(log.get_stats().size, 0u);
    EXPECT_EQ(disk.names.begin()->first, "00000000000000000001.spool.bad");
}

TEST(SpoolFailures, APayloadThatIsDamagedWhenItIsDoneCountsOnce) {
    ModelledDisk disk;
    auto log = opened(disk.folder(), one_file);
    const auto first = append(log, "first");
    append(log, "second");
    append(log, "third");
    EXPECT_TRUE(log.done(first));
    damage(disk, "first");
    EXPECT_EQ(all_of(log), (std::vector<std::string>{"second", "third"}));

    EXPECT_EQ(log.get_stats().waiting, 2u);
    EXPECT_TRUE(log.done(first + 1));
    EXPECT_EQ(all_of(log).size(), 2u) << "third is not done: its file stays";
}

TEST(SpoolFailures, ASmallSpoolHasSeveralFilesSoThatOnePayloadDoesNotKeepAllItsRoom) {
    const TemporaryFolder folder;
    asio::io_context io;
    const auto spool = detail::open_spool({.spool_directory = folder.path() / "spool", .spool_max_size = 1_MiB});
    const auto append = [&] {
        std::optional<Result<std::uint64_t>> appended;
        spool.async_append(std::string(100'000, 'x'), TimePoint::max(), SteadyTime{},
                           asio::bind_executor(io, [&](auto ended) { appended = std::move(ended); }));
        io.restart();
        io.run();
        EXPECT_TRUE(*appended) << appended->error();
    };

    for (int i = 0; i < 10; ++i) append();

    EXPECT_GE(spool.get_stats().segments, 5u);
}

} // namespace
} // namespace velostream
