// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/dead_letter_names.hpp"
#include "core/error_description.hpp"
#include "velostream/base/error_type.hpp"
#include "velostream/config/dead_letter_queue_config.hpp"
#include "velostream/core/dead_letter_envelope.hpp"
#include "velostream/core/record_view.hpp"

namespace velostream {

namespace detail {

/// What an earlier round left on the record.
struct EarlierRound {
    std::optional<std::string_view> id;
    std::optional<WallTime> first_failure, original_timestamp;
    std::optional<TimestampType> original_timestamp_type;
    std::optional<std::uint32_t> redrive_count;
};

EarlierRound earlier_round_of(const HeadersView& headers);

/// What makes a record its own: its place; without an offset, the serial number.
std::string dead_letter_id(const RecordView& record, std::string_view group, std::string_view handler,
                           std::string_view serial);

/// What a letter is to say. The ladder takes from it until the letter is small enough.
struct LetterPlan {
    struct Failure {
        ErrorType type;
        std::uint32_t attempts;
        std::uint64_t fingerprint;
        std::optional<WallTime> first;
        WallTime last;
    };

    const RecordView& record;
    const DeadLetterContext& context;
    std::string_view topic;
    EarlierRound earlier = {};

    bool with_original = true;
    HeaderFamilies replaced = {};        ///< whose headers of an earlier round are no original ones
    HeaderFamilies families = {};        ///< whose headers are written
    bool with_context = true;            ///< who dead-letters
    std::optional<Failure> failure = {}; ///< unset: nothing about the error
    bool with_error = true;              ///< false: of the failure, only what stays over rounds
    bool with_message = true;
    ErrorDescription error = {};
    std::string_view stack_trace = {};
    std::string truncated = {}; ///< `part=bytes`, one behind a comma after the other

    /// Says once that `part`, which had `bytes`, is not whole.
    void note(std::string_view part, std::size_t bytes);
};

} // namespace detail

/// Writes the headers in order. Values that are made here are collected in one text; the headers are pointed at it when
/// it no longer grows.
class DeadLetterWriter {
  public:
    /// The letter that the plan describes. It looks into the record and the context, not into the plan.
    static DeadLetter write(const detail::LetterPlan& plan);

  private:
    explicit DeadLetterWriter(const detail::LetterPlan& plan);

    void add_original();
    void add_connect();
    void add_spring();
    void add_streams();
    void add_place(std::string_view topic, std::string_view partition, std::string_view offset);
    void add_own();
    void add_own_failure(const detail::LetterPlan::Failure& failure);
    DeadLetter finish() &&;

    /// `value` outlives the letter.
    void add(std::string_view name, std::string_view value);
    void add_unless_empty(std::string_view name, std::string_view value);
    /// `value` is copied.
    void add_made(std::string_view name, std::string_view value);
    void add_made_unless_empty(std::string_view name, std::string_view value);
    void add_message(std::string_view name);
    template <class Number>
    void add_digits(std::string_view name, Number number);
    template <class Number>
    void add_binary(std::string_view name, Number number);

    static constexpr std::size_t most_own_headers = 48;
    struct MadeValue {
        std::size_t header, begin, size;
    };

    const detail::LetterPlan& plan_;
    DeadLetter letter_;
    std::array<MadeValue, most_own_headers> made_values_{};
    std::size_t made_count_ = 0;
    std::size_t id_index_ = 0;
};

} // namespace velostream
