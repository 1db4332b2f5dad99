// SPDX-License-Identifier: Apache-2.0
// The input is a list of headers, `name=value` on a line each, without `=` for a null value. A backslash makes the byte
// behind it one of the name or the value, whatever it is.
#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/fuzzing.hpp"
#include "velostream/core/dead_letter_envelope.hpp"
#include "velostream/core/dead_letter_reader.hpp"

namespace velostream::fuzz {
namespace {

using Headers = std::vector<HeaderView>;

struct Line {
    std::string name, value;
    bool has_value = false;
};

std::vector<Line> lines_of(std::string_view input) {
    std::vector<Line> lines;
    Line line;
    for (std::size_t at = 0; at < input.size(); ++at) {
        auto& text = line.has_value ? line.value : line.name;
        if (input[at] == '\\' && at + 1 < input.size())
            text += input[++at];
        else if (input[at] == '\n')
            lines.push_back(std::exchange(line, Line{}));
        else if (input[at] == '=' && !line.has_value)
            line.has_value = true;
        else
            text += input[at];
    }
    if (line.has_value || !line.name.empty()) lines.push_back(std::move(line));
    return lines;
}

RecordView with(const Headers& headers) {
    return {.topic = "dead", .key = "k", .value = "v", .headers = std::span<const HeaderView>{headers}};
}

void check_restored(const RecordView& record, const DeadLetterFacts& facts) {
    const auto again = restored(record);
    require(again.has_value() == facts.has_record, "a record is restored unless it was left out");
    if (!again) return;
    const auto read = read_dead_letter(again->record());
    require(read.family == HeaderFamily::none, "a restored record is no dead letter");
    require(read.original_headers == facts.original_headers, "it has the original headers");
    require(read.redrives >= 1 && read.redrives >= facts.redrives, "its redrives are counted");
    require(facts.id.empty() || read.id == facts.id, "its id stays");
}

void check_written(const RecordView& record, const DeadLetterFacts& facts, HeaderFamilies families, Bytes size) {
    const DeadLetterQueueConfig config{.header_families = families, .max_record_size = size};
    const auto letter = make_dead_letter(record, Errc::operation_failed, config, {.stack_trace = "a+0x1\nb+0x2"});
    const Headers headers{letter.headers().begin(), letter.headers().end()};
    const auto read = read_dead_letter(with(headers));
    require(read.family == HeaderFamily::own, "our headers stand behind those that were there");
    require(read.original_headers == facts.original_headers, "the original headers stay");
    require(read.redrives == facts.redrives, "the redrives stay");
    require(facts.id.empty() || read.id == facts.id, "the id stays");
    require(!read.topic.empty(), "the place is said");
}

} // namespace
} // namespace velostream::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace velostream;
    const auto lines = fuzz::lines_of(fuzz::bytes_of(data, size));
    fuzz::Headers headers;
    for (const auto& [name, value, has_value] : lines)
        headers.push_back({name, has_value ? NullableBytes{value} : NullableBytes{}});
    const auto record = fuzz::with(headers);

    const auto facts = read_dead_letter(record);

    fuzz::require(facts.original_headers.size() <= headers.size(), "no header comes from nowhere");
    fuzz::check_restored(record, facts);
    fuzz::check_written(record, facts, {.connect = true, .spring = true, .streams = true}, 1'000'000);
    fuzz::check_written(record, facts, {.connect = false, .spring = true}, 1'000);
    return 0;
}
