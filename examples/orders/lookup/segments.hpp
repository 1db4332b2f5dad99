// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lookup/lookup_figures.hpp"
#include "program/options.hpp"
#include "velostream/base/result.hpp"

namespace orders {

namespace asio = boost::asio;

/// Who knows the segments of customers: a database, behind a pool of connections, a breaker, retries and a timeout.
/// Threads: one.
class Segments {
  public:
    virtual ~Segments() = default;

    /// Makes and fills the table where the database has none; what is there stays as it is.
    ///
    /// Errors: those of the database, at once if it cannot be reached.
    virtual asio::awaitable<velostream::Result<void>> prepare() = 0;

    /// The segment of a customer; nothing where the table does not have him. Waits as long as the database is not
    /// there or fails in ways that pass: the record that asks is not to blame.
    ///
    /// Errors:       what waiting does not cure, such as a right that is missing.
    /// Cancellation: all kinds.
    virtual asio::awaitable<velostream::Result<std::optional<std::string>>> segment_of(std::string_view customer) = 0;

    /// Takes the database away, and gives it back.
    virtual void begin_outage() = 0;
    virtual void end_outage() = 0;

    /// Closes the connections; who still asks is refused.
    virtual asio::awaitable<void> close() = 0;

    /// Without `segments`.
    virtual const LookupFigures& figures() = 0;
};

/// Those of `options.lookup`, which must be set. Throws `std::invalid_argument` for a connection string that is none.
std::unique_ptr<Segments> make_segments(const asio::any_io_executor& executor, const Options& options);

} // namespace orders
