// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "tools/dlq/ended.hpp"
#include "tools/dlq/grouping.hpp"
#include "tools/dlq/letter.hpp"
#include "tools/dlq/options.hpp"
#include "velostream/core/dead_letter_reader.hpp"

namespace velostream::dlq {

// The commands. Each prints to standard output what was asked for; a constructor of a Kafka client throws
// `std::invalid_argument` where properties are not legal.

Ended list(const Options& options);
Ended show(const Options& options);
Ended redrive(const Options& options);
Ended export_letters(const Options& options);
Ended import_letters(const Options& options);
Ended purge(const Options& options);

/// What `list` prints, for people; lines that are longer than `width` are cut.
std::string groups_table(const std::vector<Group>& groups, GroupBy by, std::optional<std::size_t> width);
/// The same for programs: one JSON object, with an end of line.
std::string groups_json(const std::vector<Group>& groups, GroupBy by, std::uint64_t total);

/// What `show` prints of a letter, for people: a line for each thing that is known. Long values are cut unless `full`.
std::string letter_text(const Letter& letter, const DeadLetterFacts& facts, bool full);
/// The same for programs: one JSON object without an end of line. Of bytes that are no text there is the hexadecimal
/// form, under the same name with `_hex`.
std::string letter_json(const Letter& letter, const DeadLetterFacts& facts);

} // namespace velostream::dlq
