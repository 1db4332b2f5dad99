// SPDX-License-Identifier: Apache-2.0
//
// A file system that keeps a part for the superuser: this program's questions about it come here first.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/statvfs.h>

#include "spool_files.hpp"
#include "support/temporary_folder.hpp"

namespace {

bool keeps_a_part = false;

} // namespace

extern "C" int fstatvfs(int descriptor, struct statvfs* status) noexcept {
    if (!keeps_a_part) return reinterpret_cast<decltype(&fstatvfs)>(::dlsym(RTLD_NEXT, "fstatvfs"))(descriptor, status);
    *status = {};
    status->f_bsize = 1; // in which nothing is counted
    status->f_frsize = 4096;
    status->f_blocks = 100;
    status->f_bfree = 60;
    status->f_bavail = 55;
    return 0;
}

namespace velostream {
namespace {

TEST(DiskSpace, WhatIsKeptForTheSuperuserIsNotFree) {
    const TemporaryFolder folder;
    const auto files = open_spool_folder(folder.path());
    ASSERT_TRUE(files) << files.error();
    keeps_a_part = true;

    const auto space = (*files)->space();
    keeps_a_part = false;

    ASSERT_TRUE(space) << space.error();
    EXPECT_EQ(space->free, 55U * 4096);
    EXPECT_EQ(space->total, 100U * 4096);
}

} // namespace
} // namespace velostream
