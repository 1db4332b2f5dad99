// SPDX-License-Identifier: Apache-2.0
#include "program/end.hpp"

#include <gtest/gtest.h>

#include <boost/system/errc.hpp>
#include <cstdint>

#include "input/input_error.hpp"

namespace orders {
namespace {

Figures counts(std::uint64_t read, std::uint64_t valid) {
    Figures figures;
    figures.read = figures.lines = read;
    figures.valid = figures.totals_sent = figures.totals_acknowledged = valid;
    return figures;
}

TEST(End, IsASuccessWhereTheJobDidNotFailAndTheCountsAddUp) {
    const auto end = end_of_run({}, counts(10, 10));

    EXPECT_EQ(end.code, success);
    EXPECT_EQ(end.figures.error, "");
    EXPECT_EQ(end.figures.read, 10U);
}

TEST(End, IsAFailedRunThatSaysWhichCountsDoNotAddUp) {
    auto figures = counts(10, 9);
    figures.totals_acknowledged = 8;

    const auto end = end_of_run({}, figures);

    EXPECT_EQ(end.code, failed_run);
    EXPECT_EQ(end.figures.error,
              "the counts do not add up: 10 lines, but 9 valid + 0 dead letters; 9 totals sent, but 8 acknowledged");
}

TEST(End, OfAJobThatFailedSaysWhyAndKeepsWhatWasDone) {
    const auto broken = end_of_run(velostream::Error{make_error_code(boost::system::errc::io_error)}, counts(10, 7));
    const auto unreadable = end_of_run(velostream::Error{make_error_code(InputErrc::unreadable)}, counts(10, 7));

    EXPECT_EQ(broken.code, failed_run);
    EXPECT_EQ(unreadable.code, unreadable_input);
    EXPECT_NE(broken.figures.error, "");
    EXPECT_EQ(broken.figures.valid, 7U);
}

} // namespace
} // namespace orders
