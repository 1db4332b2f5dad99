// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <new>
#include <utility>

#include "velostream/testing/manual_time.hpp"

namespace velostream::testing {

/// `ManualTime` that finds no memory for a sleep where a test says so.
class SleeplessTime : public ManualTime {
  public:
    void sleep_until(const asio::any_io_executor& executor, TimePoint at, SleepHandler handler) {
        if (*has_no_memory_) throw std::bad_alloc{};
        ManualTime::sleep_until(executor, at, std::move(handler));
    }
    void set_has_no_memory(bool has_none) const noexcept { *has_no_memory_ = has_none; }

  private:
    std::shared_ptr<bool> has_no_memory_ = std::make_shared<bool>(false);
};

static_assert(TimeSource<SleeplessTime>);

} // namespace velostream::testing
