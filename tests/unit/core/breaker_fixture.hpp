// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <memory_resource>
#include <new>
#include <utility>
#include <vector>

#include "velostream/core/breaker_machine.hpp"

namespace velostream::testing {

using namespace std::chrono_literals;

inline constexpr TimePoint t0{1000s};

struct At {
    TimePoint time;
    TimePoint now() const noexcept { return time; }
    TimePoint coarse_now() const noexcept { return time; }
};

// A clock that must not be read.
struct NoClock {
    TimePoint now() const {
        ADD_FAILURE() << "the clock was read";
        return t0;
    }
    TimePoint coarse_now() const { return now(); }
};

class ScarceMemory final : public std::pmr::memory_resource {
  public:
    bool is_used_up = false;

  private:
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
        if (is_used_up) throw std::bad_alloc{};
        return std::pmr::new_delete_resource()->allocate(bytes, alignment);
    }
    void do_deallocate(void* place, std::size_t bytes, std::size_t alignment) override {
        std::pmr::new_delete_resource()->deallocate(place, bytes, alignment);
    }
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

class BreakerMachineTest : public ::testing::Test {
  protected:
    BreakerPermit acquire(BreakerMachine& machine, TimePoint now) {
        const auto admission = machine.try_acquire(now);
        EXPECT_TRUE(admission.permit) << "refused";
        return admission.permit.value_or(BreakerPermit{});
    }
    static bool is_admitted(BreakerMachine& machine, TimePoint now) {
        return machine.try_acquire(now).permit.has_value();
    }
    void succeed(BreakerMachine& machine, TimePoint now = t0) {
        machine.record(acquire(machine, now), CallOutcomeKind::success, At{now});
    }
    void fail(BreakerMachine& machine, TimePoint now = t0) {
        machine.record(acquire(machine, now), CallOutcomeKind::failure, At{now});
    }
    // Every transition that was not seen yet.
    std::vector<std::pair<CircuitState, BreakerCause>> transitions(BreakerMachine& machine) {
        std::vector<std::pair<CircuitState, BreakerCause>> seen;
        machine.publish_transitions(
            [&](const BreakerTransition& change) { seen.emplace_back(change.to, change.cause); });
        return seen;
    }
    using Transitions = std::vector<std::pair<CircuitState, BreakerCause>>;

    static constexpr CircuitBreakerConfig small{.failure_threshold = 1, .success_threshold = 2, .timeout = 10s};
};

} // namespace velostream::testing
