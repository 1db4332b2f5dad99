// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/breaker_control.hpp"

#include <gtest/gtest.h>

namespace velostream {
namespace {

TEST(BreakerWord, IsItselfAfterPackingAndUnpacking) {
    constexpr std::uint16_t counts[] = {0, 1, 65535};
    for (const auto state : {CircuitState::closed, CircuitState::open, CircuitState::half_open,
                             CircuitState::forced_open, CircuitState::disabled, CircuitState::metrics_only})
        for (const std::uint32_t epoch : {0U, 1U, 77U, BreakerWord::epochs - 1})
            for (const auto succeeded : counts)
                for (const auto in_flight : counts) {
                    const BreakerWord word{state, epoch, succeeded, in_flight};
                    EXPECT_EQ(BreakerWord::unpacked(word.packed()), word);
                }
}

TEST(BreakerWord, EpochsWrap) {
    const BreakerWord last{CircuitState::closed, BreakerWord::epochs - 1, 0, 0};

    EXPECT_EQ(last.next(CircuitState::open).epoch, 0u);
    EXPECT_EQ(BreakerWord::unpacked(last.next(CircuitState::open).packed()).state, CircuitState::open);
}

class BreakerControlTest : public ::testing::Test {
  protected:
    // Half-open with one probe out, in epoch 2.
    BreakerControlTest() {
        control.change(0, CircuitState::open);
        control.change(1, CircuitState::half_open, 1);
    }
    BreakerControl<> control{3};
};

TEST_F(BreakerControlTest, AChangeEndsTheEpochOnce) {
    EXPECT_TRUE(control.change(2, CircuitState::open));
    EXPECT_FALSE(control.change(2, CircuitState::closed));

    EXPECT_EQ(control.load(), (BreakerWord{CircuitState::open, 3, 0, 0}));
}

TEST_F(BreakerControlTest, AdmitsAsManyProbesAsTheLimitSays) {
    EXPECT_TRUE(control.admit_probe(2));
    EXPECT_TRUE(control.admit_probe(2));
    EXPECT_FALSE(control.admit_probe(2));
    EXPECT_EQ(control.load().in_flight, 3);
}

TEST_F(BreakerControlTest, ASucceededProbeKeepsItsPlace) {
    EXPECT_EQ(control.succeed_probe(2), ProbeVerdict::counted);

    EXPECT_EQ(control.free_probes(control.load()), 2);
    EXPECT_TRUE(control.admit_probe(2));
    EXPECT_TRUE(control.admit_probe(2));
    EXPECT_FALSE(control.admit_probe(2));
}

TEST_F(BreakerControlTest, AReturnedProbeFreesItsPlace) {
    EXPECT_EQ(control.return_probe(2), ProbeVerdict::counted);

    EXPECT_EQ(control.free_probes(control.load()), 3);
}

TEST_F(BreakerControlTest, TheLastSuccessClosesAndNoOther) {
    control.admit_probe(2);
    control.admit_probe(2);

    EXPECT_EQ(control.succeed_probe(2), ProbeVerdict::counted);
    EXPECT_EQ(control.succeed_probe(2), ProbeVerdict::counted);
    EXPECT_EQ(control.succeed_probe(2), ProbeVerdict::decided);

    EXPECT_EQ(control.load(), (BreakerWord{CircuitState::closed, 3, 0, 0}));
}

TEST_F(BreakerControlTest, OneFailureOpensAndTheOthersAreLate) {
    control.admit_probe(2);

    EXPECT_EQ(control.fail_probe(2), ProbeVerdict::decided);
    EXPECT_EQ(control.succeed_probe(2), ProbeVerdict::late);
    EXPECT_EQ(control.return_probe(2), ProbeVerdict::late);

    EXPECT_EQ(control.load(), (BreakerWord{CircuitState::open, 3, 0, 0}));
}

TEST_F(BreakerControlTest, AdmitsNoProbeInAnotherStateOrEpoch) {
    EXPECT_FALSE(control.admit_probe(1));
    control.change(2, CircuitState::closed);
    EXPECT_FALSE(control.admit_probe(3));
}

} // namespace
} // namespace velostream
