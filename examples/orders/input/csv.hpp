// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace orders {

/// Cuts a stream of bytes into CSV records (RFC 4180). What the standard forbids is read as most readers do: a quote
/// inside an unquoted field and text behind a closing quote belong to the field. Empty lines are skipped; a record ends
/// at LF, CR LF or CR outside quotes.
class RecordSplitter {
  public:
    /// A record that grows beyond this is almost certainly a quote that is never closed.
    static constexpr std::size_t longest_record = 900'000;

    /// Adds bytes. Views given out before become invalid.
    void feed(std::string_view block);
    /// Says that no more bytes come: a last record without a line end is a record too.
    void finish() { finished_ = true; }

    /// The raw text of the next record without its line end; nothing if more bytes are needed or none are left.
    std::optional<std::string_view> next();

    /// True once a record is longer than `longest_record`; nothing more comes out then.
    bool overlong() const { return overlong_; }

  private:
    // Position of the line end of the record at begin_.
    std::optional<std::size_t> find_end();
    std::optional<std::size_t> find_plain_end() const;

    std::string buffer_;
    std::size_t begin_ = 0;   // of the record that comes next
    std::size_t scanned_ = 0; // bytes of it that were looked at
    enum class State : unsigned char { field_start, unquoted, quoted, quote_in_quoted } state_ = State::field_start;
    bool finished_ = false;
    bool skip_lf_ = false; // the record before ended with a CR that was the last byte of its block
    bool overlong_ = false;
};

/// The fields of one record, unquoted.
class RecordFields {
  public:
    static constexpr std::size_t capacity = 8;

    /// `record` must outlive this object.
    explicit RecordFields(std::string_view record);
    RecordFields(const RecordFields&) = delete; // fields may point into this object
    RecordFields& operator=(const RecordFields&) = delete;

    /// How many fields the record has, also beyond `capacity`.
    std::size_t count() const { return count_; }
    std::string_view operator[](std::size_t index) const { return fields_[index]; }

  private:
    void split_plain(std::string_view record);
    void split_quoted(std::string_view record);
    void append(std::string_view field);

    std::array<std::string_view, capacity> fields_{};
    std::size_t count_ = 0;
    std::string unquoted_; // what fields with quotes look like without them
};

} // namespace orders
