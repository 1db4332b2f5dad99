// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/system/error_code.hpp>
#include <type_traits>

namespace velostream::kafka {

/// Codes of Kafka's protocol that programs ask for by name. Any other code of the protocol (positive) or of the client
/// library (negative) may occur too: `make_error_code(static_cast<KafkaErrc>(value))`.
enum class KafkaErrc : int {
    unknown_topic_or_partition = 3,
    message_too_large = 10,
    topic_authorization_failed = 29,
    group_authorization_failed = 30,
    topic_already_exists = 36,
    sasl_authentication_failed = 58,
};

/// The category of these codes. Each code answers an `ErrorType`: `code == ErrorType::service_unavailable`.
///
/// What a record can cause is `bad_request` and blames the record; what passes by itself never does. A code that this
/// version does not know, of a newer broker or client, is `service_unavailable`: tried again, and not the record's
/// fault. Only the client library's -143, an error that the program itself reported, is `unknown`.
const boost::system::error_category& kafka_category() noexcept;

inline boost::system::error_code make_error_code(KafkaErrc code) noexcept {
    return {static_cast<int>(code), kafka_category()};
}

} // namespace velostream::kafka

template <>
struct boost::system::is_error_code_enum<velostream::kafka::KafkaErrc> : std::true_type {};
