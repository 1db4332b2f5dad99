// SPDX-License-Identifier: Apache-2.0
#include "input/csv.hpp"

#include <algorithm>

namespace orders {

void RecordSplitter::feed(std::string_view block) {
    buffer_.erase(0, begin_);
    begin_ = 0;
    buffer_.append(block);
}

// Most records are short and without a quote: found by a few searches instead of a look at every byte.
std::optional<std::size_t> RecordSplitter::find_plain_end() const {
    constexpr std::size_t usual_record = 1024;
    const auto text = std::string_view{buffer_}.substr(begin_, usual_record);
    const auto line = text.substr(0, text.find('\n'));
    const auto end = std::min(line.find('\r'), line.size());
    const bool is_plain = end < text.size() && line.substr(0, end).find('"') == std::string_view::npos;
    return is_plain ? std::optional{begin_ + end} : std::nullopt;
}

std::optional<std::size_t> RecordSplitter::find_end() {
    if (scanned_ == 0)
        if (const auto end = find_plain_end()) return end;
    for (auto at = begin_ + scanned_; at < buffer_.size(); ++at) {
        const char c = buffer_[at];
        if ((c == '\n' || c == '\r') && state_ != State::quoted) return at;
        switch (state_) {
            case State::unquoted:
                if (c == ',') state_ = State::field_start;
                break;
            case State::quoted:
                if (c == '"') state_ = State::quote_in_quoted;
                break;
            case State::field_start:
            case State::quote_in_quoted:
                state_ = c == '"' ? State::quoted : c == ',' ? State::field_start : State::unquoted;
                break;
        }
    }
    scanned_ = buffer_.size() - begin_;
    if (finished_ && scanned_ > 0) return buffer_.size();
    return std::nullopt;
}

std::optional<std::string_view> RecordSplitter::next() {
    while (!overlong_) {
        if (skip_lf_ && begin_ < buffer_.size()) {
            skip_lf_ = false;
            if (buffer_[begin_] == '\n') ++begin_;
        }
        const auto end = find_end();
        if (!end) {
            overlong_ = scanned_ > longest_record;
            return std::nullopt;
        }
        const auto record_begin = begin_;
        begin_ = *end;
        if (begin_ < buffer_.size()) skip_lf_ = buffer_[begin_++] == '\r';
        scanned_ = 0;
        state_ = State::field_start;
        overlong_ = *end - record_begin > longest_record;
        if (*end > record_begin && !overlong_)
            return std::string_view{buffer_}.substr(record_begin, *end - record_begin);
    }
    return std::nullopt;
}

void RecordFields::append(std::string_view field) {
    if (count_ < capacity) fields_[count_] = field;
    ++count_;
}

RecordFields::RecordFields(std::string_view record) {
    if (record.find('"') == std::string_view::npos)
        split_plain(record);
    else
        split_quoted(record);
}

void RecordFields::split_plain(std::string_view record) {
    for (;;) {
        const auto comma = record.find(',');
        append(record.substr(0, comma));
        if (comma == std::string_view::npos) return;
        record.remove_prefix(comma + 1);
    }
}

void RecordFields::split_quoted(std::string_view record) {
    unquoted_.reserve(record.size()); // never grows: views into it stay valid
    std::size_t field_begin = 0;
    const auto end_field = [&] {
        append(std::string_view{unquoted_}.substr(field_begin));
        field_begin = unquoted_.size();
    };
    bool quoted = false;
    bool at_start = true;
    for (std::size_t at = 0; at < record.size(); ++at) {
        const char c = record[at];
        if (quoted && c == '"') {
            const bool doubled = at + 1 < record.size() && record[at + 1] == '"';
            if (doubled) {
                unquoted_.push_back('"');
                ++at;
            } else {
                quoted = false;
            }
        } else if (!quoted && c == ',') {
            end_field();
            at_start = true;
            continue;
        } else if (at_start && c == '"') {
            quoted = true;
        } else {
            unquoted_.push_back(c);
        }
        at_start = false;
    }
    end_field();
}

} // namespace orders
