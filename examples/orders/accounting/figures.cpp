// SPDX-License-Identifier: Apache-2.0
#include "accounting/figures.hpp"

#include <fmt/format.h>

namespace orders {

std::vector<std::string> Figures::discrepancies() const {
    std::vector<std::string> found;
    if (lines != read) found.push_back(fmt::format("{} lines read, but {} processed", read, lines));
    if (lines != valid + dead_letters_total())
        found.push_back(fmt::format("{} lines, but {} valid + {} dead letters", lines, valid, dead_letters_total()));
    if (totals_acknowledged != totals_sent)
        found.push_back(fmt::format("{} totals sent, but {} acknowledged", totals_sent, totals_acknowledged));
    if (lookup && lookup->found + lookup->unknown < valid)
        found.push_back(fmt::format("{} valid lines, but {} look-ups", valid, lookup->found + lookup->unknown));
    return found;
}

} // namespace orders
