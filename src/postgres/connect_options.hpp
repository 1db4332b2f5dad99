// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "velostream/base/units.hpp"
#include "velostream/postgres/connection_config.hpp"

namespace velostream::postgres {

/// Where to connect to: a name or a socket's folder as it was given, and an address if one is known.
struct Host {
    std::string name;    ///< empty: libpq's own socket
    std::string address; ///< empty: the name has to be looked up, unless it is a socket
    std::string port;    ///< empty: libpq's own

    bool is_socket() const noexcept { return address.empty() && (name.empty() || name[0] == '/' || name[0] == '@'); }
};

/// A config as it is used to connect.
struct ConnectOptions {
    /// Throws `std::invalid_argument` that lists every problem of `config`.
    explicit ConnectOptions(const ConnectionConfig& config);

    Options options; ///< all but host, hostaddr, port and connect_timeout
    std::vector<Host> hosts;
    std::optional<Duration> connect_timeout; ///< for each address
};

} // namespace velostream::postgres
