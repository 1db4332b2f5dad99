// SPDX-License-Identifier: Apache-2.0
#include "velostream/version.hpp"

#define VELOSTREAM_TEXT_OF(macro) #macro
#define VELOSTREAM_TEXT(macro) VELOSTREAM_TEXT_OF(macro)

namespace velostream {

std::string_view version() noexcept {
    return VELOSTREAM_TEXT(VELOSTREAM_VERSION_MAJOR) "." VELOSTREAM_TEXT(VELOSTREAM_VERSION_MINOR) "." VELOSTREAM_TEXT(
        VELOSTREAM_VERSION_PATCH);
}

int version_number() noexcept {
    return VELOSTREAM_VERSION;
}

} // namespace velostream
