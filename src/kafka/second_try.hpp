// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <librdkafka/rdkafka.h>

#include <cstdint>

namespace velostream::kafka {

/// What is done once with a record that the brokers have refused, before it is blamed for that.
enum class SecondTry : std::uint8_t {
    none,  ///< the refusal stands
    again, ///< as before: bytes are spoiled on their way, too
    alone  ///< by itself: the record that is not well may be another one of its batch
};

/// The second tries that a record has had.
struct SecondTries {
    bool again = false;
    bool alone = false;
};

/// `code` is the library's. The brokers refuse a whole batch whose checksum is wrong (INVALID_MSG, which 2.4 tries
/// again by itself), and the whole batch of a record that is not well (INVALID_RECORD) without saying which one that
/// is.
constexpr SecondTry second_try_after(int code, SecondTries had) noexcept {
    if (code == RD_KAFKA_RESP_ERR_INVALID_MSG && !had.again) return SecondTry::again;
    if (code == RD_KAFKA_RESP_ERR_INVALID_RECORD && !had.alone) return SecondTry::alone;
    return SecondTry::none;
}

} // namespace velostream::kafka
