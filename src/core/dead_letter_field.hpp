// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "velostream/base/error_type.hpp"
#include "velostream/core/dead_letter_envelope.hpp"
#include "velostream/core/dead_letter_reader.hpp"

namespace velostream::detail {

/// What a header says, whatever its family calls it.
enum class Field : std::uint8_t {
    none, ///< nothing that is read, though its name may be one of the family
    topic,
    partition,
    offset,
    timestamp,
    retry_timestamp, ///< as a Java BigInteger
    timestamp_type,
    group,
    application,
    instance,
    handler,
    stage,
    error_class,
    error_text, ///< class, or class and message
    cause_class,
    message,
    stack_trace,
    attempts,
    version,
    id,
    error_type,
    first_failure,
    last_failure,
    fingerprint,
    chain,
    redrives,
    left_out,
};

struct FieldName {
    HeaderFamily family = HeaderFamily::none;
    Field field = Field::none;
};

/// Whose header this is; of no family if it is the record's own.
FieldName field_of(std::string_view name) noexcept;

/// Of Connect's word; nothing if it is none.
std::optional<FailedStage> stage_of(std::string_view word) noexcept;

std::optional<ErrorType> error_type_of(std::string_view word) noexcept;

/// One to eight bytes, most significant first, in two's complement.
std::optional<std::int64_t> java_big_integer(std::string_view bytes) noexcept;

/// The same the other way round: as few bytes as it needs, at least one.
std::string java_big_integer_bytes(std::int64_t number);

} // namespace velostream::detail
