// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

#include "tools/dlq/commands.hpp"
#include "tools/dlq/options.hpp"

namespace {

using namespace velostream::dlq;

/// A file that is opened while a standard stream is closed would become that stream. What takes its place is open the
/// other way round: reading from it, or writing to it, fails as it would without.
void keep_standard_streams() {
    for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (::fcntl(descriptor, F_GETFD) < 0)
            static_cast<void>(::open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY));
}

Ended run(const Options& options) {
    switch (options.command) {
        case Command::list:
            return list(options);
        case Command::show:
            return show(options);
        case Command::redrive:
            return redrive(options);
        case Command::export_letters:
            return export_letters(options);
        case Command::import_letters:
            return import_letters(options);
        case Command::purge:
            return purge(options);
    }
    return {};
}

/// As a terminal may have it: what others named, or say, may be in there.
std::string one_line(std::string text) {
    constexpr char last_control = 0x1F, delete_sign = 0x7F;
    for (char& character : text)
        if ((character >= 0 && character <= last_control) || character == delete_sign) character = ' ';
    return text;
}

Ended run_safely(const Options& options) {
    try {
        return run(options);
    } catch (const std::invalid_argument& problem) { // a property that the client does not take
        return {wrong_usage, problem.what()};
    } catch (const std::exception& problem) {
        return {failed_command, problem.what()};
    }
}

} // namespace

int main(int argc, char** argv) {
    keep_standard_streams();
    std::signal(SIGPIPE, SIG_IGN); // who reads the output may leave: then it cannot be written
    const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
    const auto parsed = parse_options(argc, argv, now);
    if (parsed.exit_code.value_or(success) != success) return *parsed.exit_code;
    auto ended = parsed.exit_code ? Ended{} : run_safely(parsed.options);
    if ((std::fflush(stdout) != 0 || std::ferror(stdout) != 0) && ended.code == success)
        ended = {failed_command, "standard output cannot be written"};
    if (ended.code != success) std::fprintf(stderr, "velostream-dlq: %s\n", one_line(ended.problem).c_str());
    return ended.code;
}
