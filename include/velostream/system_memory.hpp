// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "velostream/base/units.hpp"

namespace velostream {

/// Where the kernel says how much memory there is. Tests name folders of their own.
struct SystemMemoryFiles {
    std::string proc = "/proc";
    std::string cgroup = "/sys/fs/cgroup";
};

/// What the kernel says about memory now.
struct SystemMemory {
    Bytes machine_total = 0;     ///< 0 where the kernel does not say
    Bytes machine_available = 0; ///< what programs could still get without swapping

    /// The smallest limit of this process's control group and those above it; unset without one. Of version 2 the lower
    /// of `memory.high` and `memory.max`.
    std::optional<Bytes> cgroup_limit;
    Bytes cgroup_available = 0;      ///< the least that one of those groups leaves; 0 without a limit
    double cgroup_used_fraction = 0; ///< of the fullest of those groups; file pages that can be dropped do not count

    Bytes process_resident = 0; ///< what this process has in the machine's memory; 0 where the kernel does not say

    /// The part of the last ten seconds in which some task waited for memory (pressure stall information), 0-1.
    double stalled_fraction = 0;

    /// What this process could still get; 0 where the kernel does not say.
    Bytes available() const noexcept {
        if (!cgroup_limit) return machine_available;
        return machine_total == 0 || cgroup_available < machine_available ? cgroup_available : machine_available;
    }
    double machine_used_fraction() const noexcept {
        if (machine_total == 0 || machine_available > machine_total) return 0;
        return 1.0 - static_cast<double>(machine_available) / static_cast<double>(machine_total);
    }
};

/// Reads it: control groups of version 2 or 1, `meminfo`, stall information, the process's status. What is missing or
/// unreadable stays at its default. Costs some tens of microseconds.
SystemMemory read_system_memory(const SystemMemoryFiles& files = {});

/// A value for `max_memory_mb`: `fraction` of the control group's limit, or of the machine's memory where there is
/// none; at least 1. Throws `std::invalid_argument` unless 0 < `fraction` ≤ 1, and `std::runtime_error` where the
/// kernel does not say how much memory there is.
std::uint64_t max_memory_from_system(double fraction, const SystemMemoryFiles& files = {});

} // namespace velostream
