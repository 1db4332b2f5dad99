// SPDX-License-Identifier: Apache-2.0
#include "velostream/spool.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "spool_log.hpp"
#include "support/modelled_disk.hpp"
#include "support/temporary_folder.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;
using testing::ModelledDisk;
using Appended = std::optional<Result<std::uint64_t>>;

/// A spool whose disk is waited for when the test says.
class SpoolTest : public ::testing::Test {
  protected:
    Spool opened() {
        auto log = SpoolLog::open(files.folder(), limits);
        EXPECT_TRUE(log) << log.error();
        return {std::move(*log), disk.get_executor()};
    }
    Appended& append(const Spool& spool, std::string payload, TimePoint deadline = TimePoint::max(),
                     asio::cancellation_slot slot = {}) {
        auto& result = *results.emplace_back(std::make_unique<Appended>());
        spool.async_append(
            std::move(payload), deadline, time,
            asio::bind_cancellation_slot(
                slot, asio::bind_executor(io, [&result](Result<std::uint64_t> ended) { result = std::move(ended); })));
        return result;
    }
    std::vector<std::string> read(const Spool& spool, SpoolCursor from = SpoolCursor{}) {
        std::optional<Result<SpoolBatch>> batch;
        spool.async_read(from, 1_MiB, asio::bind_executor(io, [&](auto read) { batch = std::move(read); }));
        run();
        EXPECT_TRUE(batch && *batch);
        std::vector<std::string> payloads;
        for (auto& entry : (*batch)->entries) payloads.push_back(std::move(entry.payload));
        return payloads;
    }
    void run_disk() {
        disk.restart();
        disk.poll();
    }
    void run() {
        do {
            run_disk();
            io.restart();
        } while (io.poll() != 0);
    }

    using Texts = std::vector<std::string>;

    ModelledDisk files;
    SpoolLimits limits{.segment_size = 200, .max_size = 1000, .min_free_disk = 0};
    ManualTime time;
    std::vector<std::unique_ptr<Appended>> results;
    asio::io_context disk, io;
};

TEST_F(SpoolTest, WhatComesWhileTheDiskIsBusyIsOneBatchAndOneSync) {
    const auto spool = opened();
    append(spool, "first");
    run();
    int syncs = 0;
    files.goes_well = [&syncs](ModelledDisk::Call call, std::size_t) {
        syncs += call == ModelledDisk::Call::sync ? 1 : 0;
        return true;
    };
    auto& a = append(spool, "a");
    auto& b = append(spool, "b");
    auto& c = append(spool, "c");
    EXPECT_EQ(spool.waiting(), 4u);

    run();

    EXPECT_EQ(syncs, 1);
    ASSERT_TRUE(a && b && c);
    EXPECT_EQ(**a, 2u);
    EXPECT_EQ(**b, 3u);
    EXPECT_EQ(**c, 4u);
    EXPECT_EQ(read(spool), (Texts{"first", "a", "b", "c"}));
    EXPECT_EQ(read(spool, SpoolCursor{3}), Texts{"c"});
}

TEST_F(SpoolTest, NothingIsAcknowledgedThatIsNotSynced) {
    const auto spool = opened();
    bool was_acknowledged = false;
    auto& appended = append(spool, "a");
    files.goes_well = [&](ModelledDisk::Call, std::size_t) {
        io.restart();
        io.poll();
        was_acknowledged |= appended.has_value();
        return true;
    };

    run();

    EXPECT_TRUE(appended && *appended);
    EXPECT_FALSE(was_acknowledged) << "before the last call of the disk";
}

TEST_F(SpoolTest, ADiskThatFailsIsSaidToAllOfTheBatchAndToNobodyElse) {
    const auto spool = opened();
    append(spool, "first");
    run();
    files.goes_well = [](ModelledDisk::Call call, std::size_t) { return call != ModelledDisk::Call::sync; };
    auto& a = append(spool, "a");
    auto& b = append(spool, "b");
    run();
    files.goes_well = [](ModelledDisk::Call, std::size_t) { return true; };
    auto& c = append(spool, "c");
    run();

    ASSERT_TRUE(a && b && c);
    EXPECT_EQ(a->error(), boost::system::errc::make_error_code(boost::system::errc::io_error));
    EXPECT_EQ(b->error(), boost::system::errc::make_error_code(boost::system::errc::io_error));
    EXPECT_TRUE(*c);
    EXPECT_EQ(spool.waiting(), 2u);
    EXPECT_EQ(read(spool), (Texts{"first", "c"}));
    EXPECT_EQ(spool.get_stats().failed_writes, 1u);
}

TEST_F(SpoolTest, AFullSpoolLetsThemWaitInTheirOrderUntilSomethingIsDone) {
    limits = {.segment_size = 4096, .max_size = 300, .min_free_disk = 0};
    const auto spool = opened();
    auto& first = append(spool, std::string(200, 'x'));
    run();
    auto& large = append(spool, std::string(150, 'y'));
    auto& small = append(spool, "z");
    run();
    EXPECT_FALSE(large);
    EXPECT_FALSE(small) << "overtakes nobody";
    EXPECT_EQ(spool.waiting(), 3u);

    spool.done(**first);
    run();

    ASSERT_TRUE(large && small);
    EXPECT_EQ(**large, 2u);
    EXPECT_EQ(**small, 3u);
    EXPECT_EQ(spool.waiting(), 2u);
}

TEST_F(SpoolTest, TheDeadlineEndsTheWaitForRoomAndSaysWhy) {
    limits = {.segment_size = 4096, .max_size = 300, .min_free_disk = 0};
    const auto spool = opened();
    auto& first = append(spool, std::string(200, 'x'));
    run();
    auto& second = append(spool, std::string(150, 'y'), time.now() + 30s);
    run();
    time.advance(30s);
    run();

    ASSERT_TRUE(second);
    EXPECT_EQ(second->error(), Errc::deadline_exceeded);
    ASSERT_NE(second->error().inner(), nullptr);
    EXPECT_EQ(*second->error().inner(), Errc::disk_quota_exceeded);
    EXPECT_EQ(spool.waiting(), 1u);
    spool.done(**first);
    run();
    EXPECT_EQ(read(spool), Texts{}) << "it did not come there later";
}

TEST_F(SpoolTest, MoreThanThereWillEverBeRoomForIsRefusedAtOnce) {
    const auto spool = opened();
    auto& before = append(spool, "a");
    auto& too_large = append(spool, std::string(1000, 'x'));
    auto& behind = append(spool, "b");

    run();

    ASSERT_TRUE(before && too_large && behind);
    EXPECT_TRUE(*before);
    EXPECT_EQ(too_large->error(), Errc::disk_quota_exceeded);
    EXPECT_TRUE(*behind);
    EXPECT_EQ(spool.waiting(), 2u);
}

TEST_F(SpoolTest, APayloadThatIsLargerThanABatchIsABatchByItself) {
    limits = {.segment_size = 64_MiB, .max_size = 64_MiB, .min_free_disk = 0};
    const auto spool = opened();
    auto& before = append(spool, "a");
    auto& large = append(spool, std::string(5'000'000, 'x'));
    auto& behind = append(spool, "b");

    run();

    EXPECT_TRUE(before && *before);
    EXPECT_TRUE(large && *large);
    EXPECT_TRUE(behind && *behind);
}

TEST_F(SpoolTest, ALargePayloadIsNoReasonToRefuseTheSmallOnesInFrontOfIt) {
    limits = {.segment_size = 4096, .max_size = 600, .min_free_disk = 0};
    const auto spool = opened();
    auto& small = append(spool, "a");
    auto& other = append(spool, "b");
    auto& large = append(spool, std::string(540, 'x'));

    run();

    EXPECT_TRUE(small && *small);
    EXPECT_TRUE(other && *other);
    EXPECT_FALSE(large);
}

TEST_F(SpoolTest, WhoIsCancelledInTheLineLeavesNothingBehind) {
    const auto spool = opened();
    asio::cancellation_signal cancel;
    auto& gone = append(spool, "a", TimePoint::max(), cancel.slot());
    cancel.emit(asio::cancellation_type::terminal);
    auto& stays = append(spool, "b");

    run();

    EXPECT_EQ(gone->error(), Errc::cancelled);
    EXPECT_TRUE(stays && *stays);
    EXPECT_EQ(read(spool), Texts{"b"});
    EXPECT_EQ(spool.waiting(), 1u);
}

TEST_F(SpoolTest, WhoIsCancelledWhileTheDiskIsAtItIsToldSoAndThePayloadIsThere) {
    const auto spool = opened();
    asio::cancellation_signal cancel;
    auto& gone = append(spool, "a", TimePoint::max(), cancel.slot());
    files.goes_well = [&](ModelledDisk::Call call, std::size_t) {
        if (call == ModelledDisk::Call::write) cancel.emit(asio::cancellation_type::terminal);
        return true;
    };

    run();

    EXPECT_EQ(gone->error(), Errc::cancelled);
    EXPECT_EQ(read(spool), Texts{"a"});
    EXPECT_EQ(spool.waiting(), 1u);
}

TEST_F(SpoolTest, AContextThatEndsTakesItsRequestsWithIt) {
    const auto spool = opened();
    auto alive = std::make_shared<int>();
    {
        asio::io_context short_lived;
        spool.async_append("a", TimePoint::max(), time,
                           asio::bind_executor(short_lived, [alive](const auto&) { FAIL() << "its context is gone"; }));
        spool.async_read(SpoolCursor{}, 1, asio::bind_executor(short_lived, [alive](const auto&) { FAIL(); }));
    }
    EXPECT_EQ(alive.use_count(), 1);

    run();

    EXPECT_EQ(spool.waiting(), 0u);
}

TEST_F(SpoolTest, TellsItsListenerThatPayloadsCame) {
    const auto spool = opened();
    int told = 0;
    spool.set_listener([&told]() noexcept { ++told; });
    append(spool, "a");
    append(spool, "b");
    run();
    EXPECT_EQ(told, 1);

    files.goes_well = [](ModelledDisk::Call, std::size_t) { return false; };
    append(spool, "c");
    run();
    EXPECT_EQ(told, 1) << "none came";
}

TEST(Spool, IsForOneAtATimeAndKeepsWhatIsNotDone) {
    const TemporaryFolder folder;
    const SpoolConfig config{.directory = folder.path() / "spool"};
    asio::io_context io;
    const auto append = [&](const Spool& spool, std::string payload) {
        std::optional<Result<std::uint64_t>> appended;
        spool.async_append(std::move(payload), TimePoint::max(), SteadyTime{},
                           asio::bind_executor(io, [&](auto ended) { appended = std::move(ended); }));
        io.restart();
        io.run();
        EXPECT_TRUE(*appended) << appended->error();
    };
    {
        const auto spool = Spool::open(config);
        ASSERT_TRUE(spool) << spool.error();
        append(*spool, "kept");
        const auto second = Spool::open(config);
        ASSERT_FALSE(second);
        EXPECT_EQ(second.error(), make_error_code(boost::system::errc::device_or_resource_busy));
    }

    const auto next = Spool::open(config);

    ASSERT_TRUE(next) << next.error();
    EXPECT_EQ(next->waiting(), 1u);
    append(*next, "new");
    EXPECT_EQ(next->get_stats().waiting, 2u);
}

TEST(Spool, ALegalConfigIsAskedFor) {
    const auto spool = Spool::open({.max_size = 1000, .min_free_disk = 1, .segment_size = 1});

    ASSERT_FALSE(spool);
    EXPECT_EQ(spool.error(), Errc::invalid_configuration);
    EXPECT_EQ(spool.error().detail(),
              "directory = \"\": must not be empty\n"
              "max_size = 1000: must be >= 1048576\n"
              "min_free_disk = 1: must be >= 0 and < 1\n"
              "segment_size = 1: must be >= 4096");
}

} // namespace
} // namespace velostream
