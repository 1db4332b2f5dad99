// SPDX-License-Identifier: Apache-2.0
#include "breaker_model.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace velostream::testing {
namespace {

using namespace std::chrono_literals;

struct At {
    TimePoint time;
    TimePoint now() const noexcept { return time; }
    TimePoint coarse_now() const noexcept { return time; }
};

// A random walk of machine and model side by side. A failure names the seed, which repeats it.
class Walk {
  public:
    explicit Walk(std::uint64_t seed)
        : random_(seed), config_(random_config()), machine_(config_, seed), model_(config_, now_, seed) {}

    void step() {
        switch (pick(24)) {
            case 0:
            case 1:
            case 2:
            case 3:
            case 4:
                acquire();
                break;
            case 5:
                now_ += Duration{pick(3000) * 1'000'000};
                break;
            case 6:
                now_ += Duration{pick(200) * 1'000'000'000};
                break;
            case 7:
                if (pick(20) == 0) set_state_by_hand();
                break;
            case 8:
                if (pick(2) == 0) machine_.settle(now_);
                break;
            case 9:
            case 10:
            case 11:
                now_ += Duration{pick(400) * 1'000'000};
                break;
            case 12:
                if (pick(10) == 0) reconfigure();
                break;
            default:
                record();
        }
        model_.advance_to(now_);
        compare();
    }

    const std::vector<std::pair<CircuitState, TimePoint>>& transitions() const { return model_.transitions(); }
    std::size_t reconfigured() const { return reconfigured_; }

  private:
    std::uint64_t pick(std::uint64_t below) { return random_() % below; }

    CircuitBreakerConfig random_config() {
        constexpr double rates[] = {1.0 / 4, 1.0 / 3, 1.0 / 2, 2.0 / 3, 3.0 / 4, 1.0};
        CircuitBreakerConfig config;
        config.sliding_window_size = 1 + pick(40);
        config.failure_threshold = 1 + pick(config.sliding_window_size);
        config.success_threshold = 1 + pick(4);
        config.timeout = Duration{(1 + pick(20)) * 1'000'000'000};
        if (pick(2)) config.minimum_throughput = 1 + pick(config.sliding_window_size);
        if (pick(2)) config.failure_rate_threshold = rates[pick(6)];
        if (pick(2)) {
            config.slow_call_threshold = Duration{(1 + pick(2000)) * 1'000'000};
            config.slow_call_rate_threshold = rates[pick(6)];
        }
        if (pick(2)) config.max_half_open_duration = Duration{(1 + pick(100)) * 1'000'000'000};
        if (pick(3) == 0) config.slow_call_minimum_throughput = 1 + pick(config.sliding_window_size);
        constexpr double multipliers[] = {1.0, 1.5, 2.0};
        config.timeout_multiplier = multipliers[pick(3)];
        if (pick(2)) config.max_timeout = (1 + static_cast<Duration::rep>(pick(20))) * config.timeout;
        if (pick(2)) config.timeout_jitter = static_cast<double>(pick(5)) / 4;
        if (pick(2)) {
            config.sliding_window_buckets = 1 + pick(12);
            config.sliding_window_duration = Duration{(100 + pick(20'000)) * 1'000'000 + pick(1000)};
        }
        return config;
    }

    void acquire() {
        const auto expected = model_.try_acquire();
        const auto closed = machine_.try_acquire_closed(At{now_});
        const auto permit = closed ? closed : machine_.try_acquire(now_).permit;
        ASSERT_EQ(permit.has_value(), expected.has_value());
        if (permit) out_.push_back({*permit, *expected});
    }

    void record() {
        if (out_.empty()) return acquire();
        const auto chosen = pick(out_.size());
        const auto [permit, expected] = out_[chosen];
        out_.erase(out_.begin() + static_cast<std::ptrdiff_t>(chosen));
        const auto roll = pick(10);
        const auto kind = roll < 4    ? CallOutcomeKind::failure
                          : roll == 4 ? static_cast<CallOutcomeKind>(pick(3))
                                      : CallOutcomeKind::success;
        const auto retry_after = pick(10) == 0 ? std::optional{Duration{pick(60'000) * 1'000'000}} : std::nullopt;
        const auto error =
            retry_after ? Error{Errc::connect_failed}.with_retry_after(*retry_after) : Error{Errc::connect_failed};
        machine_.record(permit, kind, At{now_}, kind == CallOutcomeKind::failure ? &error : nullptr);
        model_.record(expected, kind, kind == CallOutcomeKind::failure ? retry_after : std::nullopt);
    }

    void set_state_by_hand() {
        constexpr CircuitState states[] = {CircuitState::closed, CircuitState::forced_open, CircuitState::disabled,
                                           CircuitState::metrics_only};
        machine_.settle(now_); // the model has settled already
        if (const auto choice = pick(8); choice < 4) {
            machine_.reset(now_);
            model_.reset();
        } else {
            machine_.set_state(states[choice - 4], now_);
            model_.set_state(states[choice - 4]);
        }
    }

    void reconfigure() {
        config_ = random_config();
        model_.advance_to(now_);
        machine_.reconfigure(config_, now_);
        model_.reconfigure(config_);
        ++reconfigured_;
    }

    void compare() {
        const auto snapshot = machine_.snapshot(now_);
        ASSERT_EQ(snapshot.state, model_.state());
        ASSERT_EQ(machine_.state(now_), model_.state());
        ASSERT_EQ(machine_.admissible(now_), model_.admissible());
        ASSERT_EQ(snapshot.window, model_.counts());
        ASSERT_EQ(snapshot.open_until, model_.open_until());
        ASSERT_EQ(snapshot.rejected, model_.rejected());
        ASSERT_EQ(snapshot.late, model_.late());
        machine_.publish_transitions([&](const BreakerTransition& transition) {
            ASSERT_LT(published_, model_.transitions().size());
            ASSERT_EQ(transition.to, model_.transitions()[published_].first);
            ASSERT_EQ(transition.at, model_.transitions()[published_].second);
            ++published_;
        });
    }

    std::mt19937_64 random_;
    CircuitBreakerConfig config_;
    TimePoint now_{1000s};
    BreakerMachine machine_;
    BreakerModel model_;
    struct Out {
        BreakerPermit permit;
        BreakerModel::Permit expected;
    };
    std::vector<Out> out_;
    std::size_t published_ = 0;
    std::size_t reconfigured_ = 0;
};

TEST(BreakerModel, AgreesWithTheMachineOnRandomSequences) {
    std::map<CircuitState, std::size_t> entered;
    std::size_t reconfigured = 0;
    for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
        Walk walk{seed};
        for (int i = 0; i < 1000; ++i) {
            walk.step();
            ASSERT_FALSE(::testing::Test::HasFatalFailure()) << "seed " << seed << ", step " << i;
        }
        for (const auto& [to, at] : walk.transitions()) ++entered[to];
        reconfigured += walk.reconfigured();
    }
    // The walks must have been everywhere to mean anything.
    EXPECT_GT(entered[CircuitState::open], 5000u);
    EXPECT_GT(entered[CircuitState::half_open], 5000u);
    EXPECT_GT(entered[CircuitState::closed], 1000u);
    EXPECT_GT(entered[CircuitState::forced_open], 100u);
    EXPECT_GT(entered[CircuitState::disabled], 100u);
    EXPECT_GT(entered[CircuitState::metrics_only], 100u);
    EXPECT_GT(reconfigured, 1000u);
}

} // namespace
} // namespace velostream::testing
