// SPDX-License-Identifier: Apache-2.0
#include "velostream/system_memory.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <istream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace velostream {

namespace {

using Path = std::filesystem::path;

// The number that comes next; unset without one, as for "max".
std::optional<Bytes> next_number(std::istream& in) {
    in >> std::ws;
    Bytes value = 0;
    if (in.peek() != '-' && in >> value) return value; // the stream would wrap a negative one
    return std::nullopt;
}

// The number a file begins with.
std::optional<Bytes> number_in(const Path& file) {
    std::ifstream in{file};
    return next_number(in);
}

// The number after a word, as in "inactive_file 4096" or "MemTotal:  123 kB".
Bytes number_after(const Path& file, std::string_view word) {
    std::ifstream in{file};
    std::string line;
    while (std::getline(in, line)) {
        std::istringstream fields{line};
        std::string name;
        if (fields >> name && name == word) return next_number(fields).value_or(0);
    }
    return 0;
}

// "some avg10=1.50 avg60=…": 0.015
double stalled_fraction_in(const Path& file) {
    std::ifstream in{file};
    std::string kind, average;
    if (!(in >> kind >> average) || kind != "some" || !average.starts_with("avg10=")) return 0;
    std::istringstream value{average.substr(6)};
    double percent = 0;
    value >> percent;
    return std::clamp(percent / 100, 0.0, 1.0);
}

// The names under which the two versions keep the same things.
struct Version {
    Path root;
    std::string_view used, limit, soft_limit, droppable;
};

struct Place {
    Version version;
    std::string group; // "/a/b", as the kernel names it
};

std::optional<Place> own_group(const SystemMemoryFiles& files) {
    const Version second{files.cgroup, "memory.current", "memory.max", "memory.high", "inactive_file"};
    const Version first{
        Path{files.cgroup} / "memory", "memory.usage_in_bytes", "memory.limit_in_bytes", {}, "total_inactive_file"};
    std::optional<Place> place;
    std::ifstream in{Path{files.proc} / "self/cgroup"};
    std::string line; // number:controllers:group
    while (std::getline(in, line)) {
        const auto colon = line.find(':');
        const auto second_colon = line.find(':', colon + 1);
        if (colon == std::string::npos || second_colon == std::string::npos) continue;
        const auto controllers = "," + line.substr(colon + 1, second_colon - colon - 1) + ",";
        auto group = line.substr(second_colon + 1);
        if (controllers.find(",memory,") != std::string::npos) return Place{first, std::move(group)};
        if (controllers == ",,") place = Place{second, std::move(group)};
    }
    return place;
}

void read_group(const Path& folder, const Version& version, SystemMemory& memory) {
    auto limit = number_in(folder / version.limit).value_or(std::numeric_limits<Bytes>::max());
    if (!version.soft_limit.empty()) limit = std::min(limit, number_in(folder / version.soft_limit).value_or(limit));
    // Version 1 says "no limit" with a number larger than any machine: 2^63 less a page.
    constexpr auto largest = Bytes{1} << 62;
    if (limit > largest || (memory.machine_total != 0 && limit > memory.machine_total)) return;

    const auto pages = number_in(folder / version.used).value_or(0);
    const auto used = pages - std::min(pages, number_after(folder / "memory.stat", version.droppable));
    const auto room = limit - std::min(limit, used);
    memory.cgroup_available = memory.cgroup_limit ? std::min(memory.cgroup_available, room) : room;
    memory.cgroup_limit = std::min(limit, memory.cgroup_limit.value_or(limit));
    const auto fraction = limit == 0 ? 1.0 : static_cast<double>(used) / static_cast<double>(limit);
    memory.cgroup_used_fraction = std::max(memory.cgroup_used_fraction, fraction);
}

} // namespace

SystemMemory read_system_memory(const SystemMemoryFiles& files) {
    SystemMemory memory;
    const Path proc{files.proc};
    memory.machine_total = number_after(proc / "meminfo", "MemTotal:") * 1024;
    memory.machine_available = number_after(proc / "meminfo", "MemAvailable:") * 1024;
    memory.process_resident = number_after(proc / "self/status", "VmRSS:") * 1024;

    auto stall_file = proc / "pressure/memory";
    if (const auto place = own_group(files)) {
        // From the root down to our own. Inside a container the names below the root may mean nothing: nothing is read.
        auto folder = place->version.root;
        const auto read = [&] {
            read_group(folder, place->version, memory);
            std::error_code unreadable;
            if (std::filesystem::exists(folder / "memory.pressure", unreadable))
                stall_file = folder / "memory.pressure";
        };
        read();
        for (const auto& name : Path{place->group}.relative_path()) {
            folder /= name;
            read();
        }
    }
    memory.stalled_fraction = stalled_fraction_in(stall_file);
    return memory;
}

std::uint64_t max_memory_from_system(double fraction, const SystemMemoryFiles& files) {
    if (!(fraction > 0 && fraction <= 1))
        throw std::invalid_argument{"max_memory_from_system: fraction must be > 0, ≤ 1"};
    const auto memory = read_system_memory(files);
    const auto whole = memory.cgroup_limit.value_or(memory.machine_total);
    if (whole == 0)
        throw std::runtime_error{"max_memory_from_system: the kernel does not say how much memory there is"};
    return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(static_cast<double>(whole) * fraction) / mebibyte);
}

} // namespace velostream
