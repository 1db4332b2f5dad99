// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/guard_chain.hpp"

#include <new>
#include <utility>

namespace velostream::detail {

Error with_last_failure(Error stopped, const Error& last, bool was_stopped) noexcept {
    const auto* failure = was_stopped ? last.inner() : &last;
    if (!failure || stopped.inner()) return stopped;
    try {
        return stopped.with_inner(*failure);
    } catch (const std::bad_alloc&) { // it is told without
        return stopped;
    }
}

} // namespace velostream::detail
