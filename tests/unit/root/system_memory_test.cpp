// SPDX-License-Identifier: Apache-2.0
#include "velostream/system_memory.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string_view>

#include "velostream/base/units.hpp"

namespace velostream {
namespace {

class SystemMemoryTest : public ::testing::Test {
  protected:
    SystemMemoryTest()
        : folder_(std::filesystem::path{::testing::TempDir()} /
                  ("system_memory_" + std::string{::testing::UnitTest::GetInstance()->current_test_info()->name()})) {
        std::filesystem::remove_all(folder_);
    }
    ~SystemMemoryTest() override { std::filesystem::remove_all(folder_); }

    void write(std::string_view file, std::string_view text) const {
        const auto path = folder_ / file;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream{path} << text;
    }
    void write_machine() const {
        write("proc/meminfo", "MemTotal: 8388608 kB\nMemFree: 1 kB\nMemAvailable: 6291456 kB\n");
    }

    SystemMemoryFiles files() const { return {(folder_ / "proc").string(), (folder_ / "cgroup").string()}; }

  private:
    std::filesystem::path folder_;
};

TEST_F(SystemMemoryTest, ReadsTheMachineWhereThereIsNoControlGroup) {
    write_machine();

    const auto memory = read_system_memory(files());

    EXPECT_EQ(memory.machine_total, 8_GiB);
    EXPECT_EQ(memory.machine_available, 6_GiB);
    EXPECT_EQ(memory.machine_used_fraction(), 0.25);
    EXPECT_FALSE(memory.cgroup_limit);
    EXPECT_EQ(memory.available(), 6_GiB);
}

TEST_F(SystemMemoryTest, ReadsWhatThisProcessHas) {
    write("proc/self/status", "Name: test\nVmHWM:\t  999999 kB\nVmRSS:\t   12345 kB\nRssAnon: 1 kB\n");

    EXPECT_EQ(read_system_memory(files()).process_resident, 12345 * 1024u);
    EXPECT_GT(read_system_memory({}).process_resident, 1_MiB) << "this one, as the kernel says";
}

TEST_F(SystemMemoryTest, ReadsVersion2AndCountsNoPagesThatCanBeDropped) {
    write_machine();
    write("proc/self/cgroup", "0::/service\n");
    write("cgroup/service/memory.max", "1073741824\n");
    write("cgroup/service/memory.high", "max\n");
    write("cgroup/service/memory.current", "805306368\n");
    write("cgroup/service/memory.stat", "anon 1\nactive_file 7\ninactive_file 268435456\n");

    const auto memory = read_system_memory(files());

    EXPECT_EQ(memory.cgroup_limit, 1_GiB);
    EXPECT_EQ(memory.cgroup_available, 512_MiB);
    EXPECT_EQ(memory.cgroup_used_fraction, 0.5);
    EXPECT_EQ(memory.available(), 512_MiB);
}

TEST_F(SystemMemoryTest, TakesTheLowerOfHighAndMax) {
    write("proc/self/cgroup", "0::/service\n");
    write("cgroup/service/memory.max", "1073741824\n");
    write("cgroup/service/memory.high", "536870912\n");
    write("cgroup/service/memory.current", "0\n");

    EXPECT_EQ(read_system_memory(files()).cgroup_limit, 512_MiB);
}

TEST_F(SystemMemoryTest, TakesMaxWhereHighIsAboveIt) {
    write("proc/self/cgroup", "0::/service\n");
    write("cgroup/service/memory.max", "536870912\n");
    write("cgroup/service/memory.high", "1073741824\n");
    write("cgroup/service/memory.current", "268435456\n");

    EXPECT_EQ(read_system_memory(files()).cgroup_limit, 512_MiB);
    EXPECT_EQ(read_system_memory(files()).cgroup_used_fraction, 0.5);
}

TEST_F(SystemMemoryTest, HeedsTheGroupsAboveItsOwn) {
    write_machine();
    write("proc/self/cgroup", "0::/pod/container\n");
    write("cgroup/pod/memory.max", "1073741824\n");
    write("cgroup/pod/memory.current", "966367642\n");
    write("cgroup/pod/container/memory.max", "2147483648\n");
    write("cgroup/pod/container/memory.current", "104857600\n");

    const auto memory = read_system_memory(files());

    EXPECT_EQ(memory.cgroup_limit, 1_GiB);
    EXPECT_NEAR(memory.cgroup_used_fraction, 0.9, 0.001);
    EXPECT_EQ(memory.cgroup_available, 1_GiB - 966367642);
}

TEST_F(SystemMemoryTest, ReadsVersion1) {
    write_machine();
    write("proc/self/cgroup", "7:cpu,cpuacct:/\n4:memory:/docker/abc\n0::/\n");
    write("cgroup/memory/docker/abc/memory.limit_in_bytes", "1073741824\n");
    write("cgroup/memory/docker/abc/memory.usage_in_bytes", "536870912\n");
    write("cgroup/memory/docker/abc/memory.stat", "inactive_file 1\ntotal_inactive_file 268435456\n");
    write("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    write("cgroup/memory/memory.usage_in_bytes", "8589934592\n");

    const auto memory = read_system_memory(files());

    EXPECT_EQ(memory.cgroup_limit, 1_GiB);
    EXPECT_EQ(memory.cgroup_used_fraction, 0.25);
}

TEST_F(SystemMemoryTest, InsideAContainerReadsTheRootThatItSees) {
    write_machine();
    write("proc/self/cgroup", "4:memory:/kubepods/pod1/abc\n");
    write("cgroup/memory/memory.limit_in_bytes", "1073741824\n");
    write("cgroup/memory/memory.usage_in_bytes", "0\n");

    EXPECT_EQ(read_system_memory(files()).cgroup_limit, 1_GiB);
}

TEST_F(SystemMemoryTest, ReadsStallsOfTheGroupElseOfTheMachine) {
    write("proc/pressure/memory", "some avg10=12.50 avg60=1.00 avg300=0.00 total=1\nfull avg10=0.00\n");
    EXPECT_EQ(read_system_memory(files()).stalled_fraction, 0.125);

    write("proc/self/cgroup", "0::/service\n");
    write("cgroup/service/memory.pressure", "some avg10=50.00 avg60=1.00 avg300=0.00 total=1\n");
    EXPECT_EQ(read_system_memory(files()).stalled_fraction, 0.5);
}

TEST_F(SystemMemoryTest, InsideAContainerTheStallsOfItsRootAreItsOwn) {
    write("proc/pressure/memory", "some avg10=99.00 avg60=1.00 avg300=0.00 total=1\n");
    write("proc/self/cgroup", "0::/\n");
    write("cgroup/memory.pressure", "some avg10=0.00 avg60=1.00 avg300=0.00 total=1\n");

    EXPECT_EQ(read_system_memory(files()).stalled_fraction, 0) << "its neighbours' do not concern it";
}

TEST_F(SystemMemoryTest, APathThatCannotBeFollowedIsAsGoodAsNone) {
    write("proc/pressure/memory", "some avg10=12.50 avg60=1.00 avg300=0.00 total=1\n");
    write("proc/self/cgroup", "0::/loop\n");
    write("cgroup/memory.max", "1073741824\n");
    std::filesystem::create_symlink("loop", std::filesystem::path{files().cgroup} / "loop");

    const auto memory = read_system_memory(files());

    EXPECT_EQ(memory.stalled_fraction, 0.125);
    EXPECT_EQ(memory.cgroup_limit, 1_GiB);
}

TEST_F(SystemMemoryTest, WhatTheGroupLeavesIsKnownWithoutTheMachine) {
    write("proc/self/cgroup", "0::/service\n");
    write("cgroup/service/memory.max", "1073741824\n");
    write("cgroup/service/memory.current", "268435456\n");

    EXPECT_EQ(read_system_memory(files()).available(), 768_MiB);
}

TEST_F(SystemMemoryTest, NoLimitOfVersion1IsNoneAlsoWithoutTheMachine) {
    write("proc/self/cgroup", "4:memory:/service\n");
    write("cgroup/memory/service/memory.limit_in_bytes", "9223372036854771712\n");

    EXPECT_FALSE(read_system_memory(files()).cgroup_limit);
    EXPECT_THROW(max_memory_from_system(0.5, files()), std::runtime_error);
}

TEST_F(SystemMemoryTest, ANegativeNumberIsNone) {
    write_machine();
    write("proc/self/cgroup", "0::/service\n");
    write("cgroup/service/memory.max", "1073741824\n");
    write("cgroup/service/memory.current", "-1\n");

    EXPECT_EQ(read_system_memory(files()).cgroup_used_fraction, 0);
}

TEST_F(SystemMemoryTest, ANegativeNumberAfterAWordIsNone) {
    write("proc/meminfo", "MemTotal: -1 kB\nMemAvailable: -1 kB\n");
    write("proc/self/status", "VmRSS: -1 kB\n");
    write("proc/self/cgroup", "0::/service\n");
    write("cgroup/service/memory.max", "1073741824\n");
    write("cgroup/service/memory.current", "536870912\n");
    write("cgroup/service/memory.stat", "inactive_file -1\n");

    const auto memory = read_system_memory(files());

    EXPECT_EQ(memory.machine_total, 0u);
    EXPECT_EQ(memory.machine_available, 0u);
    EXPECT_EQ(memory.process_resident, 0u);
    EXPECT_EQ(memory.cgroup_used_fraction, 0.5);
}

TEST_F(SystemMemoryTest, AGroupThatUsesMoreThanItsLimitLeavesNothing) {
    write_machine();
    write("proc/self/cgroup", "0::/service\n");
    write("cgroup/service/memory.high", "536870912\n");
    write("cgroup/service/memory.current", "805306368\n");

    const auto memory = read_system_memory(files());

    EXPECT_EQ(memory.cgroup_available, 0u);
    EXPECT_EQ(memory.available(), 0u);
    EXPECT_EQ(memory.cgroup_used_fraction, 1.5);
}

TEST_F(SystemMemoryTest, AGroupThatMayUseNothingIsFull) {
    write("proc/self/cgroup", "0::/service\n");
    write("cgroup/service/memory.max", "0\n");
    write("cgroup/service/memory.current", "0\n");

    EXPECT_EQ(read_system_memory(files()).cgroup_limit, 0u);
    EXPECT_EQ(read_system_memory(files()).cgroup_used_fraction, 1.0);
}

// The kernel does not count both at the same moment.
TEST_F(SystemMemoryTest, OfMorePagesThatCanBeDroppedThanThereAreNothingIsUsed) {
    write("proc/self/cgroup", "0::/service\n");
    write("cgroup/service/memory.max", "1073741824\n");
    write("cgroup/service/memory.current", "4096\n");
    write("cgroup/service/memory.stat", "inactive_file 8192\n");

    EXPECT_EQ(read_system_memory(files()).cgroup_used_fraction, 0);
    EXPECT_EQ(read_system_memory(files()).cgroup_available, 1_GiB);
}

TEST_F(SystemMemoryTest, TakesNothingButAnAverageForStalls) {
    write("proc/pressure/memory", "some total=99 avg60=1.00\n");

    EXPECT_EQ(read_system_memory(files()).stalled_fraction, 0);
}

TEST_F(SystemMemoryTest, StallsAreWhatSomeTaskWaitedFromNoneToAllOfTheTime) {
    write("proc/pressure/memory", "some avg10=250.00 avg60=1.00 avg300=0.00 total=1\n");
    EXPECT_EQ(read_system_memory(files()).stalled_fraction, 1.0);
    write("proc/pressure/memory", "some avg10=-1.00 avg60=1.00 avg300=0.00 total=1\n");
    EXPECT_EQ(read_system_memory(files()).stalled_fraction, 0);
    write("proc/pressure/memory", "full avg10=12.50 avg60=1.00 avg300=0.00 total=1\n");
    EXPECT_EQ(read_system_memory(files()).stalled_fraction, 0);
}

TEST_F(SystemMemoryTest, ALimitAsLargeAsTheMachineIsALimit) {
    write_machine();
    write("proc/self/cgroup", "0::/service\n");
    write("cgroup/service/memory.max", "8589934592\n");
    write("cgroup/service/memory.current", "1073741824\n");

    EXPECT_EQ(read_system_memory(files()).cgroup_limit, 8_GiB);
}

TEST_F(SystemMemoryTest, ALimitAboveTheMachineIsNone) {
    write_machine();
    write("proc/self/cgroup", "0::/service\n");
    write("cgroup/service/memory.max", "8589934593\n");
    write("cgroup/service/memory.current", "8589934592\n");

    const auto memory = read_system_memory(files());

    EXPECT_FALSE(memory.cgroup_limit);
    EXPECT_EQ(memory.cgroup_used_fraction, 0);
    EXPECT_EQ(memory.available(), 6_GiB);
}

TEST_F(SystemMemoryTest, AGroupMayHaveAColonInItsName) {
    write("proc/self/cgroup", "0::/unit:a:b.service\n");
    write("cgroup/unit:a:b.service/memory.max", "1073741824\n");

    EXPECT_EQ(read_system_memory(files()).cgroup_limit, 1_GiB);
}

TEST_F(SystemMemoryTest, SurvivesFilesThatAreMissingOrMakeNoSense) {
    EXPECT_EQ(read_system_memory(files()).available(), 0u);

    write("proc/meminfo", "no numbers here\nMemTotal:\n");
    write("proc/self/cgroup", "nonsense\n0::/a/../b\n");
    write("proc/pressure/memory", "some avg10=much\n");
    write("cgroup/memory.max", "");
    const auto memory = read_system_memory(files());

    EXPECT_EQ(memory.machine_used_fraction(), 0);
    EXPECT_FALSE(memory.cgroup_limit);
    EXPECT_EQ(memory.stalled_fraction, 0);
}

TEST_F(SystemMemoryTest, DerivesALimitFromTheGroupElseFromTheMachine) {
    EXPECT_THROW(static_cast<void>(max_memory_from_system(0.5, files())), std::runtime_error);

    write_machine();
    EXPECT_EQ(max_memory_from_system(0.5, files()), 4096u);

    write("proc/self/cgroup", "0::/service\n");
    write("cgroup/service/memory.max", "1073741824\n");
    EXPECT_EQ(max_memory_from_system(0.75, files()), 768u);
    EXPECT_EQ(max_memory_from_system(1.0, files()), 1024u);
    EXPECT_EQ(max_memory_from_system(0.0000001, files()), 1u);

    for (const auto fraction : {0.0, -1.0, 1.01}) {
        EXPECT_THROW(static_cast<void>(max_memory_from_system(fraction, files())), std::invalid_argument);
    }
}

} // namespace
} // namespace velostream
