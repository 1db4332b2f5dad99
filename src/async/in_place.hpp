// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <utility>

namespace velostream {

namespace asio = boost::asio;

// Runs what ends a timer's wait where that is found out. A timer ends in a thread that runs its context, and needs
// nothing else where any of these will do: so its wait takes no memory but its own, and its end none. With an executor
// of any type Boost 1.81 wants some as it begins, and ends the program where there is none.
class InPlace {
  public:
    explicit InPlace(asio::execution_context& context) noexcept : context_(&context) {}

    asio::execution_context& query(asio::execution::context_t) const noexcept { return *context_; }
    template <class Function>
    void execute(Function&& function) const {
        std::forward<Function>(function)();
    }
    friend bool operator==(const InPlace&, const InPlace&) noexcept = default;

  private:
    asio::execution_context* context_;
};

} // namespace velostream
