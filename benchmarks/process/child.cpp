// SPDX-License-Identifier: Apache-2.0
#include "process/child.hpp"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace velostream::bench {

namespace {

using Clock = std::chrono::steady_clock;

double seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

/// True once the child has ended. A waiting parent takes no CPU time from it.
bool ended_within(pid_t child, std::chrono::milliseconds limit) {
    const int descriptor = static_cast<int>(::syscall(SYS_pidfd_open, child, 0)); // glibc 2.36 lacks extern "C"
    if (descriptor < 0) throw std::system_error{errno, std::system_category(), "pidfd_open"};
    pollfd waiting{.fd = descriptor, .events = POLLIN, .revents = 0};
    int ready = 0;
    do {
        ready = ::poll(&waiting, 1, static_cast<int>(limit.count()));
    } while (ready < 0 && errno == EINTR);
    ::close(descriptor);
    return ready > 0;
}

/// Empty after exit code 0.
std::string failure_of(int status) {
    if (WIFSIGNALED(status)) return "was ended by signal " + std::to_string(WTERMSIG(status));
    if (WEXITSTATUS(status) != 0) return "failed with exit code " + std::to_string(WEXITSTATUS(status));
    return {};
}

} // namespace

ChildUsage run_child(const std::filesystem::path& program, std::vector<std::string> arguments,
                     std::optional<std::chrono::seconds> longest) {
    const auto name = program.filename().string();
    arguments.insert(arguments.begin(), program.string());
    std::vector<char*> pointers;
    for (auto& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);

    const auto begin = Clock::now();
    pid_t child = 0;
    if (const int error = ::posix_spawn(&child, program.c_str(), nullptr, nullptr, pointers.data(), environ))
        throw std::runtime_error{name + " cannot be started: " + std::system_category().message(error)};

    const bool too_long = longest && !ended_within(child, *longest);
    if (too_long) ::kill(child, SIGKILL);
    int status = 0;
    rusage usage{};
    while (::wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    const auto wall = std::chrono::duration<double>(Clock::now() - begin);

    if (too_long) throw std::runtime_error{name + " did not end within " + std::to_string(longest->count()) + " s"};
    if (const auto failure = failure_of(status); !failure.empty()) throw std::runtime_error{name + " " + failure};
    return {.wall_seconds = wall.count(), .cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime)};
}

} // namespace velostream::bench
