// SPDX-License-Identifier: Apache-2.0
#include "velostream/testing/run_seed.hpp"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>

namespace velostream::testing {
namespace {

// The environment as it was comes back after the test.
class RunSeedTest : public ::testing::Test {
  protected:
    RunSeedTest() {
        if (const char* const set = std::getenv(RunSeed::variable)) before_ = set;
        ::unsetenv(RunSeed::variable);
    }
    ~RunSeedTest() override {
        if (before_)
            set(*before_);
        else
            ::unsetenv(RunSeed::variable);
    }
    static void set(const std::string& value) { ::setenv(RunSeed::variable, value.c_str(), 1); }

  private:
    std::optional<std::string> before_;
};

TEST_F(RunSeedTest, IsTheSameEachTimeUnlessTheEnvironmentSaysOtherwise) {
    EXPECT_EQ(RunSeed::from_environment(), RunSeed{1});
    EXPECT_EQ(RunSeed::from_environment(5), RunSeed{5});
}

TEST_F(RunSeedTest, IsWhatTheEnvironmentSays) {
    set("18446744073709551615");

    EXPECT_EQ(RunSeed::from_environment().value(), 18446744073709551615U);
}

TEST_F(RunSeedTest, IsAnotherOneEachTimeWhereTheEnvironmentSaysRandom) {
    set("random");

    EXPECT_NE(RunSeed::from_environment(), RunSeed::from_environment());
}

TEST_F(RunSeedTest, RefusesAnythingElse) {
    for (const char* const value : {"", "-1", "1x", "Random", "18446744073709551616", " 1"}) {
        set(value);
        EXPECT_THROW(RunSeed::from_environment(), std::invalid_argument) << value;
    }
}

TEST_F(RunSeedTest, HasASeedOfItsOwnForEachName) {
    std::set<std::uint64_t> seeds;
    for (const auto value : {1U, 2U})
        for (const char* const name : {"", "a", "b", "ab", "ba", "aa"}) seeds.insert(RunSeed{value}.of(name));

    EXPECT_EQ(seeds.size(), 12u);
    EXPECT_EQ(RunSeed{1}.of("ab"), RunSeed{1}.of("ab"));
}

TEST_F(RunSeedTest, SaysHowToRepeatTheRun) {
    std::ostringstream printed;
    printed << RunSeed{42};

    EXPECT_EQ(printed.str(), "seed 42 (to repeat: VELOSTREAM_SEED=42)");
}

TEST_F(RunSeedTest, IsPartOfEveryFailureInTheScopeOfItsTrace) {
    EXPECT_NONFATAL_FAILURE(
        {
            SCOPED_TRACE(RunSeed{42});
            ADD_FAILURE();
        },
        "VELOSTREAM_SEED=42");
}

} // namespace
} // namespace velostream::testing
