// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/record_view.hpp"

namespace velostream {

std::string_view to_string(TimestampType type) noexcept {
    switch (type) {
        case TimestampType::create_time:
            return "CreateTime";
        case TimestampType::log_append_time:
            return "LogAppendTime";
        case TimestampType::not_available:
            break;
    }
    return "NoTimestampType";
}

} // namespace velostream
