// SPDX-License-Identifier: Apache-2.0
#include "velostream/version.hpp"

#include <string>

#include <gtest/gtest.h>

TEST(Version, TextStatesTheNumbersOfTheHeader) {
    const std::string expected = std::to_string(VELOSTREAM_VERSION_MAJOR) + "." +
                                 std::to_string(VELOSTREAM_VERSION_MINOR) + "." +
                                 std::to_string(VELOSTREAM_VERSION_PATCH);

    EXPECT_EQ(velostream::version(), expected);
}

TEST(Version, NumberIsComparableAcrossReleases) {
    EXPECT_EQ(velostream::version_number(),
              VELOSTREAM_VERSION_MAJOR * 10000 + VELOSTREAM_VERSION_MINOR * 100 + VELOSTREAM_VERSION_PATCH);
}

TEST(Version, HeadersAndLibraryOfOneBuildMatch) {
    EXPECT_TRUE(velostream::version_matches_headers());
}
