// SPDX-License-Identifier: Apache-2.0
#include "velostream/testing/traffic_report.hpp"

#include <chrono>
#include <ostream>

namespace velostream::testing {

namespace {

double seconds(Duration duration) noexcept {
    return std::chrono::duration<double>{duration}.count();
}

} // namespace

std::uint64_t TrafficReport::count(const boost::system::error_code& code) const noexcept {
    std::uint64_t found = 0;
    for (const auto& failures : errors)
        if (failures.first == code) found += failures.calls;
    return found;
}

std::uint64_t TrafficReport::count(ErrorType type) const noexcept {
    std::uint64_t found = 0;
    for (const auto& failures : errors)
        if (failures.first == type) found += failures.calls;
    return found;
}

double TrafficReport::success_rate() const noexcept {
    const auto ended = succeeded + failed;
    return ended == 0 ? 1.0 : static_cast<double>(succeeded) / static_cast<double>(ended);
}

std::ostream& operator<<(std::ostream& out, const TrafficReport& report) {
    out << report.seed << ": " << report.calls << " calls in " << seconds(report.elapsed) << " s, " << report.succeeded
        << " succeeded, " << report.failed << " failed, " << report.unfinished << " unfinished; longest "
        << seconds(report.longest) << " s, at most " << report.most_at_once << " at once; fingerprint "
        << report.fingerprint << '\n';
    for (const auto& failures : report.errors)
        out << "  " << failures.calls << " x " << failures.first.code().message() << " (" << failures.first.type()
            << ")\n";
    for (const auto& problem : report.problems) out << "  problem: " << problem << '\n';
    return out;
}

} // namespace velostream::testing
