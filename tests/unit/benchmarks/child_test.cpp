// SPDX-License-Identifier: Apache-2.0
#include "process/child.hpp"

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "process/temporary_folder.hpp"

using namespace velostream::bench;
using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(BenchChild, WallAndCpuTimeAreThoseOfTheChild) {
    const auto usage = run_child("/bin/sh", {"-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"});

    EXPECT_GT(usage.cpu_seconds, 0);
    EXPECT_GE(usage.wall_seconds, usage.cpu_seconds * 0.5); // one thread, and clocks of different steps
}

TEST(BenchChild, AnythingButSuccessIsAnErrorThatNamesTheProgram) {
    EXPECT_THAT([] { run_child("/bin/sh", {"-c", "exit 3"}); },
                ThrowsMessage<std::runtime_error>("sh failed with exit code 3"));
    EXPECT_THAT([] { run_child("/bin/sh", {"-c", "kill -9 $$"}); },
                ThrowsMessage<std::runtime_error>("sh was ended by signal 9"));
    EXPECT_THAT([] { run_child("/nonexistent/program", {}); },
                ThrowsMessage<std::runtime_error>(HasSubstr("program cannot be started")));
}

TEST(BenchChild, AChildThatLivesTooLongIsKilled) {
    EXPECT_THAT([] { run_child("/bin/sh", {"-c", "while :; do :; done"}, 0s); },
                ThrowsMessage<std::runtime_error>("sh did not end within 0 s"));
    EXPECT_NO_THROW(run_child("/bin/sh", {"-c", "exit 0"}, 60s));
}

TEST(BenchTemporaryFolder, GoesWithAllThatIsInIt) {
    std::filesystem::path path;
    {
        const TemporaryFolder folder;
        path = folder.path();
        std::ofstream{path / "file"} << "text";
        ASSERT_TRUE(std::filesystem::exists(path / "file"));
    }
    EXPECT_FALSE(std::filesystem::exists(path));
}
