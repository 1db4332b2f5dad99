// SPDX-License-Identifier: Apache-2.0
//
// What is put in the place of a file is on the disk before, and its name after that: seen from below, where the calls
// of this program come first.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
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

void note(const char* call) {
    if (noted) noted->emplace_back(call);
}

} // namespace
} // namespace velostream::dlq

// ---- the calls: noted, and made -------------------------------------------------------------------------------------

extern "C" {

__attribute__((visibility("default"))) int fdatasync(int descriptor) {
    velostream::dlq::note("sync");
    return static_cast<int>(::syscall(SYS_fdatasync, descriptor));
}

__attribute__((visibility("default"))) int fsync(int descriptor) {
    velostream::dlq::note("sync");
    return static_cast<int>(::syscall(SYS_fsync, descriptor));
}

__attribute__((visibility("default"))) int renameat(int from_folder, const char* from, int to_folder,
                                                    const char* to) noexcept {
    velostream::dlq::note("rename");
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

} // namespace
} // namespace velostream::dlq
