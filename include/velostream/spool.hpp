// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "velostream/async/time_source.hpp"
#include "velostream/base/result.hpp"
#include "velostream/config/spool_config.hpp"
#include "velostream/core/spool_types.hpp"
#include "velostream/spool_desk.hpp"

namespace velostream {

/// Payloads on the disk of this machine, in the order in which they came, until somebody has done with them: safe when
/// the process is killed, and when the power fails.
///
/// What is appended while the disk is busy goes there together, as one write and one sync. A process that ends leaves a
/// folder from which the next one reads all that is not done, besides some that was.
///
/// Threads:  safe; copies are handles of one spool. The disk is waited for on a thread of its own.
/// Lifetime: the last handle waits for what the disk is doing, and lets go of the folder. It must outlive its requests.
class Spool {
  public:
    using AppendSignature = void(Result<std::uint64_t>);
    using ReadSignature = void(Result<SpoolBatch>);

    /// Opens the folder and reads through what a process before has left: blocks, on the disk.
    ///
    /// Errors: `Errc::invalid_configuration` that lists every problem of `config`; the operating system's, with the
    ///         folder in its text: `std::errc::device_or_resource_busy` if somebody has it.
    static Result<Spool> open(const SpoolConfig& config);

    /// The same, with its disk waited for on `disk`, which nothing else should be kept waiting on.
    static Result<Spool> open(const SpoolConfig& config, asio::any_io_executor disk);

    /// For a log that is open already; see `SpoolLog`.
    Spool(SpoolLog log, asio::any_io_executor disk);

    /// Brings `payload` to the disk, and waits for room until `deadline`, behind those who came before.
    ///
    /// Completes with: its number, when it is on the disk also if the power fails then; or
    ///                 Errc::deadline_exceeded, with Errc::disk_quota_exceeded inside if there was no room until then;
    ///                 Errc::disk_quota_exceeded at once for more than the spool may ever hold;
    ///                 `std::errc::message_size` for more than 256 MiB;
    ///                 the operating system's error; Errc::cancelled.
    /// Cancellation:   all kinds. What was not on the disk then may come there.
    template <TimeSource Time, asio::completion_token_for<AppendSignature> Token>
    auto async_append(std::string payload, TimePoint deadline, Time time, Token&& token) const {
        return asio::async_initiate<Token, AppendSignature>(
            [](auto handler, const Spool& spool, std::string bytes, TimePoint until, const Time& clock) {
                auto executor = asio::any_io_executor{asio::get_associated_executor(handler)};
                const auto slot = asio::get_associated_cancellation_slot(handler);
                const auto desk = spool.desk();
                auto request = std::make_shared<detail::SpoolAppend>(desk, std::move(bytes), std::move(executor),
                                                                     std::move(handler));
                if (request->begin(slot, until, clock)) desk->append(std::move(request));
            },
            token, *this, std::move(payload), deadline, std::move(time));
    }

    /// Reads the payloads behind `from`, up to `most` bytes, but one at least; done or not. None if that was the last.
    ///
    /// Completes with: them, and where to go on; or the operating system's error, or Errc::cancelled.
    /// Cancellation:   all kinds; leaves nothing behind.
    template <asio::completion_token_for<ReadSignature> Token>
    auto async_read(SpoolCursor from, Bytes most, Token&& token) const {
        return asio::async_initiate<Token, ReadSignature>(
            [](auto handler, const Spool& spool, SpoolCursor begin, Bytes at_most) {
                auto executor = asio::any_io_executor{asio::get_associated_executor(handler)};
                const auto slot = asio::get_associated_cancellation_slot(handler);
                const auto desk = spool.desk();
                auto request =
                    std::make_shared<detail::SpoolRead>(desk, begin, at_most, std::move(executor), std::move(handler));
                if (request->begin(slot, TimePoint::max(), SteadyTime{})) desk->read(std::move(request));
            },
            token, *this, from, most);
    }

    /// `on_appended` is called where the disk is waited for, whenever payloads have come there, whoever still waits for
    /// them. Only before the spool is used; must not throw.
    void set_listener(std::function<void()> on_appended) const { desk()->set_listener(std::move(on_appended)); }

    /// The payload is not needed any more. Where all of a file is done it is removed, by and by.
    void done(std::uint64_t sequence) const { desk()->done(sequence); }

    /// Payloads that are not done, those included that are on their way to the disk.
    std::uint64_t waiting() const { return desk()->waiting(); }

    SpoolStats get_stats() const { return desk()->get_stats(); }

  private:
    struct Owner;

    explicit Spool(std::shared_ptr<Owner> owner) noexcept : owner_(std::move(owner)) {}
    const std::shared_ptr<detail::SpoolDesk>& desk() const noexcept;

    std::shared_ptr<Owner> owner_;
};

} // namespace velostream
