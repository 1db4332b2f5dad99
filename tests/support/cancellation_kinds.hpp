// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/cancellation_type.hpp>

namespace velostream::testing {

// Every way to ask an operation to end.
inline constexpr boost::asio::cancellation_type cancellation_kinds[] = {boost::asio::cancellation_type::terminal,
                                                                        boost::asio::cancellation_type::partial,
                                                                        boost::asio::cancellation_type::total};

} // namespace velostream::testing
