// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

namespace orders {

/// Synthetic order lines with the same kinds of dirt as the real ones, and a few that are worse. The same arguments
/// give the same lines on every machine.
class OrderGenerator {
  public:
    OrderGenerator(std::uint64_t lines, std::uint64_t customers, std::uint64_t seed);

    bool done() const { return made_ == lines_; }
    /// The next line without its line end. The view is valid until the next call.
    std::string_view next();

  private:
    std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
    bool one_in(std::uint64_t odds) { return below(odds) == 0; }
    std::uint64_t pick_customer(bool clean);

    std::uint64_t lines_, customers_;
    std::uint64_t made_ = 0;
    std::uint64_t introduced_ = 0; // customers that had an order
    std::mt19937_64 random_;
    std::string line_;
};

} // namespace orders
