// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <string>
#include <thread>

namespace velostream::bench {

/// A listener on loopback that takes every client for one with a wrong password, as a Kafka broker says it: SASL PLAIN
/// is offered, and refused. It speaks as much of the protocol as that needs.
///
/// Threads:  one of its own.
/// Lifetime: clients may outlive it; nobody listens then.
class PasswordRefuser {
  public:
    /// Throws `boost::system::system_error` where there is no free port.
    PasswordRefuser();
    PasswordRefuser(const PasswordRefuser&) = delete;
    PasswordRefuser& operator=(const PasswordRefuser&) = delete;
    ~PasswordRefuser();

    /// `127.0.0.1:40001`
    std::string address() const;

  private:
    boost::asio::awaitable<void> accept();

    boost::asio::io_context io_{1};
    boost::asio::ip::tcp::acceptor acceptor_;
    std::jthread thread_;
};

} // namespace velostream::bench
