// SPDX-License-Identifier: Apache-2.0
#include "velostream/fallback.hpp"

#include "velostream/config/validate.hpp"

namespace velostream::detail {

std::uint32_t named_types(const std::vector<ErrorType>& types) {
    if (types.empty()) throw_if_any({{"types", "none", "must name at least one type of error"}});
    std::uint32_t set = 0;
    for (const auto type : types) set |= std::uint32_t{1} << static_cast<unsigned>(type);
    return set;
}

} // namespace velostream::detail
