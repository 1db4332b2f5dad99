// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <utility>

#include "velostream/base/units.hpp"
#include "velostream/core/reclaim_plan.hpp"

namespace velostream {

namespace asio = boost::asio;

/// A component that can give memory back when it is short: `ManagedMemory::add_reclaimer` registers it.
class Reclaimer {
  public:
    virtual ~Reclaimer() = default;

    virtual ReclaimKind kind() const noexcept = 0;

    /// What it could free now, roughly; 0 if nothing. Called on the manager's executor, never under a lock: must be
    /// quick.
    virtual Bytes estimate() const noexcept = 0;

    /// Frees about `wanted` bytes, on the executor that it was registered with. What counts is what its account holds
    /// less afterwards. One that throws, frees nothing or takes too long is counted and passed over until the next
    /// reclaim; what it frees after its time is room like any other, and counts for nobody.
    virtual asio::awaitable<void> reclaim(Bytes wanted) = 0;
};

/// A registration, of a reclaimer or a listener, until it ends, or the execution context of its executor does.
/// Move-only. A call that has begun goes on.
class Registration {
  public:
    Registration() noexcept = default;
    /// `entry` keeps the registration alive: others hold it weakly.
    explicit Registration(std::shared_ptr<void> entry) noexcept : entry_(std::move(entry)) {}
    Registration(Registration&&) noexcept = default;
    Registration& operator=(Registration&&) noexcept = default;

    /// Ends it now.
    void release() noexcept { entry_.reset(); }

  private:
    std::shared_ptr<void> entry_;
};

/// What reclaims did so far.
struct ReclaimStats {
    std::uint64_t reclaims = 0;        ///< that were begun
    std::uint64_t asked = 0;           ///< calls of a reclaimer
    std::uint64_t failed = 0;          ///< of them, those that threw, freed nothing or took too long
    std::uint64_t reclaimed_bytes = 0; ///< as the accounts saw it
    bool is_running = false;
};

} // namespace velostream
