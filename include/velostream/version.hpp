// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#define VELOSTREAM_VERSION_MAJOR 0
#define VELOSTREAM_VERSION_MINOR 1
#define VELOSTREAM_VERSION_PATCH 0

/// The version of these headers as one number that preprocessors can compare: 0.1.0 is 100, 1.2.3 is 10203.
#define VELOSTREAM_VERSION \
    (VELOSTREAM_VERSION_MAJOR * 10000 + VELOSTREAM_VERSION_MINOR * 100 + VELOSTREAM_VERSION_PATCH)

namespace velostream {

/// Returns the version of the library that was linked, as "major.minor.patch".
///
/// The macros above state the version of the headers. A program that finds the two different was compiled against one
/// version and linked with another; `version_matches_headers()` compares them.
///
/// Lifetime:     the text lives as long as the program.
std::string_view version() noexcept;

/// Returns the version of the library that was linked, as VELOSTREAM_VERSION of its own build.
int version_number() noexcept;

/// True if the program was compiled against the headers of the library that it was linked with.
inline bool version_matches_headers() noexcept {
    return version_number() == VELOSTREAM_VERSION;
}

} // namespace velostream
