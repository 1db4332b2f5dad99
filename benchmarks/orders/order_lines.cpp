// SPDX-License-Identifier: Apache-2.0
#include "orders/order_lines.hpp"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <system_error>

namespace velostream::bare {

namespace {

constexpr std::size_t block_size = 256 * 1024;

constexpr std::size_t field_count = 8;
enum Column : std::size_t { quantity = 3, unit_price = 5, customer_id = 6 };

struct Fields {
    std::array<std::string_view, field_count> values;
    std::size_t count = 0;

    void add(std::string_view value) {
        if (count < field_count) values[count] = value;
        ++count;
    }
};

Fields split_plain(std::string_view line) {
    Fields fields;
    const char* at = line.data();
    const char* const end = at + line.size();
    for (;;) {
        const auto* const comma = static_cast<const char*>(std::memchr(at, ',', static_cast<std::size_t>(end - at)));
        fields.add({at, static_cast<std::size_t>((comma != nullptr ? comma : end) - at)});
        if (comma == nullptr) return fields;
        at = comma + 1;
    }
}

Fields split_quoted(std::string_view line) {
    thread_local std::string scratch; // what quoted fields look like without their quotes
    scratch.clear();
    scratch.reserve(line.size()); // views into it stay valid
    Fields fields;
    std::size_t at = 0;
    for (;;) {
        const auto field_begin = scratch.size();
        bool quoted = at < line.size() && line[at] == '"';
        if (quoted) ++at;
        for (; at < line.size() && (quoted || line[at] != ','); ++at) {
            if (line[at] != '"' || !quoted) {
                scratch += line[at];
            } else if (at + 1 < line.size() && line[at + 1] == '"') {
                scratch += line[++at];
            } else {
                quoted = false;
            }
        }
        fields.add(std::string_view{scratch}.substr(field_begin));
        if (at >= line.size()) return fields;
        ++at; // the comma
    }
}

Fields split(std::string_view line) {
    return std::memchr(line.data(), '"', line.size()) != nullptr ? split_quoted(line) : split_plain(line);
}

std::string_view trim(std::string_view text) {
    constexpr std::string_view space = " \t\n\r\f\v";
    const auto begin = text.find_first_not_of(space);
    return begin == std::string_view::npos ? std::string_view{}
                                           : text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

std::string_view customer_in(const Fields& fields) {
    auto customer = trim(fields.values[customer_id]);
    if (customer.ends_with(".0")) customer.remove_suffix(2);
    return customer;
}

std::optional<std::int64_t> whole_number(std::string_view text) {
    if (text.starts_with('+')) text.remove_prefix(1);
    std::int64_t value = 0;
    const auto* const end = text.data() + text.size();
    const auto [stopped_at, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || stopped_at != end) return std::nullopt;
    return value;
}

/// `12.345` as thousandths; more decimals are cut. A price below zero is none.
std::optional<std::int64_t> price(std::string_view text) {
    constexpr std::size_t most_digits = 15;
    if (text.starts_with('+')) text.remove_prefix(1);
    std::int64_t value = 0;
    std::size_t digits = 0;
    std::size_t decimals = 0;
    bool behind_point = false;
    for (const char c : text) {
        if (c == '.' && !behind_point) {
            behind_point = true;
        } else if (c < '0' || c > '9' || ++digits > most_digits) {
            return std::nullopt;
        } else if (!behind_point || decimals++ < 3) {
            value = value * 10 + (c - '0');
        }
    }
    if (digits == 0) return std::nullopt;
    for (; decimals < 3; ++decimals) value *= 10;
    return value;
}

} // namespace

struct LineFile::Unpacker {
    std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> stream{ZSTD_createDStream(), ZSTD_freeDStream};
    std::vector<char> packed = std::vector<char>(ZSTD_DStreamInSize());
    ZSTD_inBuffer input{packed.data(), 0, 0};
};

LineFile::LineFile(const std::string& path) : file_(std::fopen(path.c_str(), "rb"), std::fclose), buffer_(block_size) {
    if (!file_) throw std::runtime_error{path + ": " + std::generic_category().message(errno)};
    if (path.ends_with(".zst")) unpacker_ = std::make_unique<Unpacker>();
    std::string_view header;
    if (!next(header) || header != header_line) throw std::runtime_error{path + ": the first line is not as expected"};
}

LineFile::~LineFile() = default;

bool LineFile::read_more() {
    if (begin_ > 0) {
        std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    if (end_ == buffer_.size()) buffer_.resize(buffer_.size() * 2);
    if (!unpacker_) {
        const auto count = std::fread(buffer_.data() + end_, 1, buffer_.size() - end_, file_.get());
        end_ += count;
        return count > 0;
    }
    auto& [stream, packed, input] = *unpacker_;
    ZSTD_outBuffer output{buffer_.data() + end_, buffer_.size() - end_, 0};
    while (output.pos == 0) {
        if (input.pos == input.size) {
            input.size = std::fread(packed.data(), 1, packed.size(), file_.get());
            input.pos = 0;
            if (input.size == 0) return false;
        }
        const auto hint = ZSTD_decompressStream(stream.get(), &output, &input);
        if (ZSTD_isError(hint) != 0) throw std::runtime_error{ZSTD_getErrorName(hint)};
    }
    end_ += output.pos;
    return true;
}

bool LineFile::next(std::string_view& line) {
    bool in_quotes = false;
    std::size_t looked_at = 0; // bytes of this line
    for (;;) {
        const char* const from = buffer_.data() + begin_ + looked_at;
        const auto size = end_ - begin_ - looked_at;
        const auto* const line_end = static_cast<const char*>(std::memchr(from, '\n', size));
        const auto segment = line_end != nullptr ? static_cast<std::size_t>(line_end - from) : size;
        const bool has_quotes = std::memchr(from, '"', segment) != nullptr;
        if (has_quotes && std::count(from, from + segment, '"') % 2 != 0) in_quotes = !in_quotes;
        looked_at += segment;
        if (line_end != nullptr && in_quotes) {
            ++looked_at;
            continue;
        }
        if (line_end == nullptr && read_more()) continue;
        line = {buffer_.data() + begin_, looked_at};
        if (line.ends_with('\r')) line.remove_suffix(1);
        begin_ += looked_at + (line_end != nullptr ? 1 : 0);
        if (!line.empty()) return true;
        if (begin_ >= end_ && line_end == nullptr) return false;
        in_quotes = false;
        looked_at = 0;
    }
}

Order parse_order(std::string_view line) {
    const auto fields = split(line);
    Order order{.fields = fields.count};
    const auto faulty = [&order](Fault fault, std::string_view value) {
        order.fault = fault;
        order.faulty_value = value;
        return order;
    };
    if (fields.count != field_count) return faulty(Fault::line, line);
    order.customer = customer_in(fields);
    if (trim(fields.values[customer_id]).empty()) return faulty(Fault::customer_id, fields.values[customer_id]);
    const auto pieces = whole_number(trim(fields.values[quantity]));
    if (!pieces || *pieces == 0) return faulty(Fault::quantity, fields.values[quantity]);
    const auto each = price(trim(fields.values[unit_price]));
    if (!each || *each <= 0) return faulty(Fault::unit_price, fields.values[unit_price]);
    order.thousandths = *pieces * *each;
    return order;
}

std::string_view customer_of(std::string_view line) {
    const auto fields = split(line);
    return fields.count == field_count ? customer_in(fields) : std::string_view{};
}

char* write_amount(char* at, std::int64_t thousandths) {
    constexpr std::ptrdiff_t longest = 24;
    auto rest = static_cast<std::uint64_t>(thousandths);
    if (thousandths < 0) {
        *at++ = '-';
        rest = 0 - rest;
    }
    at = std::to_chars(at, at + longest, rest / 1000).ptr;
    const auto decimals = rest % 1000;
    *at++ = '.';
    *at++ = static_cast<char>('0' + decimals / 100);
    *at++ = static_cast<char>('0' + decimals / 10 % 10);
    if (decimals % 10 != 0) *at++ = static_cast<char>('0' + decimals % 10);
    return at;
}

} // namespace velostream::bare
