// SPDX-License-Identifier: Apache-2.0
//
// What is put in the place of a file is on the disk before, and its name after that, and if that fails the file is what
// it was: seen from below, where the calls of this program come first.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <boost/system/errc.hpp>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "made_letter.hpp"
#include "spool_log.hpp"
#include "support/temporary_folder.hpp"
#include "tools/dlq/letter_file.hpp"
#include "tools/dlq/spool_segment.hpp"

namespace velostream::dlq {
namespace {

std::vector<std::string>* noted = nullptr;

std::string failing; // the call that does not go well, such as "rename"

// Whether it goes well.
bool note(const char* call) {
    if (noted) noted->emplace_back(call);
    if (failing == call) errno = EIO;
    return failing != call;
}

} // namespace
} // namespace velostream::dlq

// ---- the calls: noted, and made -------------------------------------------------------------------------------------

extern "C" {

__attribute__((visibility("default"))) int fdatasync(int descriptor) {
    return velostream::dlq::note("sync") ? static_cast<int>(::syscall(SYS_fdatasync, descriptor)) : -1;
}

__attribute__((visibility("default"))) int fsync(int descriptor) {
    return velostream::dlq::note("sync") ? static_cast<int>(::syscall(SYS_fsync, descriptor)) : -1;
}

__attribute__((visibility("default"))) int renameat(int from_folder, const char* from, int to_folder,
                                                    const char* to) noexcept {
    if (!velostream::dlq::note("rename")) return -1;
    return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, 0U));
}

__attribute__((visibility("default"))) int rename(const char* from, const char* to) noexcept {
    return ::renameat(AT_FDCWD, from, AT_FDCWD, to);
}

} // extern "C"

namespace velostream::dlq {
namespace {

using ::testing::ElementsAre;

class FileCallsTest : public ::testing::Test {
  protected:
    template <class Call>
    static std::vector<std::string> calls_of(Call call) {
        std::vector<std::string> calls;
        noted = &calls;
        call();
        noted = nullptr;
        return calls;
    }

    static std::string content_of(const std::string& path) {
        std::ifstream file{path, std::ios::binary};
        return {std::istreambuf_iterator<char>{file}, {}};
    }
    static std::vector<std::string> names_in(const std::filesystem::path& folder) {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator{folder}) names.push_back(entry.path().filename());
        std::ranges::sort(names);
        return names;
    }

    const TemporaryFolder folder_;
};

TEST_F(FileCallsTest, AFileOfLettersIsOnTheDiskBeforeItHasItsNameAndItsNameWhenItIsFinished) {
    auto file = LetterFileWriter::open(folder_ / "letters").value();
    file.add(MadeLetter{}.letter().record).value();

    EXPECT_THAT(calls_of([&] { file.finish().value(); }), ElementsAre("sync", "rename", "sync"));
}

TEST_F(FileCallsTest, WhatStaysOfASpoolsFileIsOnTheDiskBeforeTheRestIsTakenAway) {
    {
        auto log = SpoolLog::open(open_spool_folder(folder_ / "spool").value(), {}).value();
        log.append(std::vector<std::string_view>{"one", "two"}).value();
    }
    auto spool = LockedSpool::open(folder_ / "spool").value();
    const auto segment = spool.read(spool.segments().value().front()).value();
    const std::vector kept{segment.frames()[1]};

    EXPECT_THAT(calls_of([&] { spool.keep(segment, kept).value(); }), ElementsAre("sync", "rename", "sync"));
    EXPECT_THAT(calls_of([&] { spool.set_aside(segment).value(); }), ElementsAre("sync", "rename", "sync"));
    EXPECT_THAT(calls_of([&] { spool.keep(segment, {}).value(); }), ElementsAre("sync"));
}

TEST_F(FileCallsTest, AFileOfLettersThatCannotBeFinishedLeavesWhatWasThereBefore) {
    const auto path = folder_ / "letters";
    std::ofstream{path} << "before";
    for (const auto* call : {"rename", "sync"}) {
        {
            auto file = LetterFileWriter::open(path).value();
            file.add(MadeLetter{}.letter().record).value();
            failing = call;
            const auto finished = file.finish();
            failing.clear();

            ASSERT_FALSE(finished) << call;
            EXPECT_EQ(finished.error().code(), boost::system::errc::io_error) << call;
        }
        EXPECT_EQ(content_of(path), "before") << call;
        EXPECT_THAT(names_in(folder_.path()), ElementsAre("letters")) << call;
    }
}

TEST_F(FileCallsTest, ASpoolsFileThatCannotBeReplacedOrPutAsideIsWhatItWas) {
    {
        auto log = SpoolLog::open(open_spool_folder(folder_ / "spool").value(), {}).value();
        log.append(std::vector<std::string_view>{"one", "two"}).value();
    }
    auto spool = LockedSpool::open(folder_ / "spool").value();
    const auto name = spool.segments().value().front();
    const auto segment = spool.read(name).value();
    const std::vector kept{segment.frames()[1]};
    for (const auto* call : {"rename", "sync"}) {
        failing = call;
        const auto replaced = spool.keep(segment, kept);
        const auto aside = spool.set_aside(segment);
        failing.clear();

        ASSERT_TRUE(!replaced && !aside) << call;
        EXPECT_EQ(replaced.error().code(), boost::system::errc::io_error) << call;
        EXPECT_EQ(content_of(folder_ / "spool/" + name), segment.bytes()) << call;
        EXPECT_THAT(names_in(folder_.path() / "spool"), ElementsAre(name, "lock")) << call;
    }
}

} // namespace
} // namespace velostream::dlq
