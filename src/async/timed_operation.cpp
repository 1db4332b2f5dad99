// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/timed_operation.hpp"

#include <boost/system/errc.hpp>
#include <new>
#include <utility>

namespace velostream::detail {

Error cut_off_with(Error own) noexcept {
    const bool only_cancelled = own == Errc::cancelled || own == boost::system::errc::operation_canceled;
    if (only_cancelled && !own.inner()) return Errc::deadline_exceeded;
    try {
        return Error{Errc::deadline_exceeded}.with_inner(std::move(own));
    } catch (const std::bad_alloc&) { // that its effect is unknown decides more than what ended it
        return own.has_unknown_outcome() ? own : Errc::deadline_exceeded;
    }
}

} // namespace velostream::detail
