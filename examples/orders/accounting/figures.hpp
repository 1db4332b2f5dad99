// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accounting/guard_figures.hpp"
#include "input/decimal.hpp"
#include "lookup/lookup_figures.hpp"
#include "program/options.hpp"

namespace orders {

/// Why a line became a dead letter: the faults of an order line in their order, then what no room was left for.
inline constexpr std::array<std::string_view, 5> dead_reason_words{"line", "CustomerID", "Quantity", "UnitPrice",
                                                                   "memory"};

struct CustomerFigure {
    std::string customer;
    std::uint64_t lines;
    Thousandths total;
};

/// Everything that the job counts. Written and read by the io thread only.
struct Figures {
    std::uint64_t read = 0;        ///< lines that the source took from the input
    std::uint64_t lines = 0;       ///< different lines that came back from Kafka
    std::uint64_t valid = 0;       ///< of these, lines that reached a total
    std::uint64_t repeated = 0;    ///< records that Kafka handed out twice, recognised and skipped
    std::uint64_t totals_sent = 0; ///< totals whose sending began
    std::uint64_t totals_acknowledged = 0;
    std::array<std::uint64_t, dead_reason_words.size()> dead_letters{}; ///< stored
    std::uint64_t dead_letters_in_flight = 0;
    std::uint64_t failed_deliveries = 0; ///< of dead letters; each was tried again
    GuardFigures guard;                  ///< of the totals
    std::optional<LookupFigures> lookup; ///< where segments are looked up
    std::size_t customers = 0;
    Thousandths grand_total = 0;
    std::vector<CustomerFigure> top; ///< filled at the end
    std::uint64_t memory_used = 0, memory_peak = 0, memory_limit = 0;
    double seconds = 0;
    bool interrupted = false;
    OutageLines outages_due; ///< that did not come
    std::string error;       ///< why the run failed; empty if it did not

    /// Further tries, of totals and of dead letters.
    std::uint64_t retries() const { return guard.retries + failed_deliveries; }

    /// Lines that were read and are neither in a total that was acknowledged nor among the dead letters.
    std::uint64_t unfinished() const { return read - totals_acknowledged - dead_letters_total(); }

    std::uint64_t dead_letters_total() const {
        std::uint64_t sum = 0;
        for (const auto count : dead_letters) sum += count;
        return sum;
    }
    /// What is wrong with the counts; empty if lines = valid + dead letters, nothing read was lost on the way, and
    /// every total sent was acknowledged.
    std::vector<std::string> discrepancies() const;
};

} // namespace orders
