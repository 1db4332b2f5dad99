// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/system/result.hpp>
#include <type_traits>

#include "velostream/base/error.hpp"

namespace velostream {

/// A value, or the `Error` that kept it from being made. `.value()` throws the original exception again where there was
/// one. With Boost 1.81 `.error()` returns a copy; copies of `Error` are cheap.
template <class T>
using Result = boost::system::result<T, Error>;

template <class T>
inline constexpr bool is_result = false;
template <class T>
inline constexpr bool is_result<Result<T>> = true;

/// `Result<T>` for a plain `T`, and `R` itself where `R` is a `Result` already.
template <class T>
using AsResult = std::conditional_t<is_result<T>, T, Result<T>>;

} // namespace velostream
