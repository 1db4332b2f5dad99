// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "velostream/base/observer.hpp"

namespace velostream::detail {

/// What a limiter of calls tells the world, and under which name.
///
/// Threads: safe. To be used without a lock of the limiter's.
class LimiterEvents {
  public:
    LimiterEvents(std::string name, std::shared_ptr<Observer> observer) noexcept
        : name_(std::move(name)), observer_(std::move(observer)) {}

    void refused(std::string_view why, const Error& error) const noexcept {
        if (observer_) observer_->on_call_refused({.limiter = name_, .why = why, .error = error});
    }
    void limit_changed(std::size_t from, std::size_t to, std::string_view why) const noexcept {
        if (observer_) observer_->on_concurrency_limit_changed({.limiter = name_, .from = from, .to = to, .why = why});
    }

  private:
    const std::string name_;
    const std::shared_ptr<Observer> observer_;
};

} // namespace velostream::detail
