// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

namespace orders {

/// Synthetic order lines with the same kinds of dirt as the real ones, and a few that are worse; every customer has a
/// clean line. Where there are hardly more lines than customers, dirt gives way. The same arguments give the same lines
/// on every machine.
class OrderGenerator {
  public:
    /// `customers` is at most `lines`.
    OrderGenerator(std::uint64_t lines, std::uint64_t customers, std::uint64_t seed);

    bool done() const { return made_ == lines_; }
    /// The next line without its line end. The view is valid until the next call.
    std::string_view next();

  private:
    std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
    bool one_in(std::uint64_t odds) { return below(odds) == 0; }
    std::uint64_t customers_due() const;
    std::uint64_t pick_customer(bool clean, bool new_one);

    std::uint64_t lines_, customers_;
    std::uint64_t made_ = 0;
    std::uint64_t introduced_ = 0; // customers that had an order
    std::mt19937_64 random_;
    std::string line_;
};

} // namespace orders
