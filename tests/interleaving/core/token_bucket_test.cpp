// SPDX-License-Identifier: Apache-2.0
// Callers that read a clock and then take from one bucket, in every order of their steps.
#include "velostream/core/token_bucket.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <memory>
#include <string>

#include "interleaving/core/exploration_failure.hpp"
#include "velostream/testing/interleaving_explorer.hpp"

namespace velostream {
namespace {

using testing::explore;
using testing::failure_of;
using testing::Interleaving;
using testing::is_noticed;
using testing::ScheduledAtomic;

struct World {
    explicit World(const Rate& limit) : rate(limit), bucket(limit, TimePoint{}) {}

    const Rate rate;
    TokenBucket bucket;
    std::array<int, 8> taken_at{};
    std::size_t taken = 0;

    bool bound_holds() const {
        const auto burst = static_cast<int>(rate.effective_burst());
        for (std::size_t from = 0; from < taken; ++from)
            for (std::size_t to = 0; to < taken; ++to) {
                int count = 0;
                for (std::size_t other = 0; other < taken; ++other)
                    count += taken_at[other] >= taken_at[from] && taken_at[other] <= taken_at[to] ? 1 : 0;
                const int length = taken_at[to] - taken_at[from];
                if (length >= 0 &&
                    (count - burst) * static_cast<int>(rate.period.count()) > length * static_cast<int>(rate.permits))
                    return false;
            }
        return true;
    }
};

// Each caller asks twice. `is_torn`: it takes from what it saw of the bucket before another came in between.
std::string broken(const Rate& rate, bool is_torn) {
    const auto report = explore([&](Interleaving& run) {
        auto world = std::make_shared<World>(rate);
        auto clock = std::make_shared<ScheduledAtomic<int>>(0);
        run.begin([world] {
            world->bucket = TokenBucket{world->rate, TimePoint{}};
            world->taken = 0;
        });
        run.thread([clock] {
            for (int now = 1; now <= 3; ++now) clock->store(now);
        });
        for (int caller = 0; caller < 2; ++caller)
            run.thread([=, &run] {
                for (int call = 0; call < 2; ++call) {
                    const int now = clock->load();
                    run.step(); // the others may be faster with a later time
                    auto seen = world->bucket;
                    if (is_torn) run.step();
                    const bool takes = seen.try_take(TimePoint{Duration{now}});
                    world->bucket = seen;
                    if (takes) world->taken_at[world->taken++] = now;
                    run.event(static_cast<std::uint64_t>(now) * 2 + (takes ? 1 : 0));
                }
            });
        run.always([=, &run] {
            if (!world->bound_holds()) run.fail("more was taken than the rate allows");
        });
    });
    return failure_of(report);
}

TEST(TokenBucketInEveryOrder, TakesNoMoreThanTheRateAllows) {
    for (const Rate& rate : {Rate{1, Duration{1}, 1}, Rate{1, Duration{2}, 1}, Rate{2, Duration{3}, 2}})
        EXPECT_EQ(broken(rate, false), "");
}

TEST(TokenBucketInEveryOrder, CallersThatTakeAtTheSameTimeAreNoticed) {
    EXPECT_TRUE(is_noticed(broken(Rate{1, Duration{2}, 1}, true)));
}

} // namespace
} // namespace velostream
