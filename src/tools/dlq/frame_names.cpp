// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/frame_names.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <utility>

extern char** environ;

namespace velostream::dlq {

namespace {

constexpr std::size_t most_frames = 1000; // of a program: what a command line holds by far

std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        lines.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return lines;
}

std::string_view file_name(std::string_view path) {
    return path.substr(path.rfind('/') + 1); // npos + 1 is 0
}

Error cannot_run(const std::string& program, int error_number) {
    return Error{boost::system::error_code{error_number, boost::system::system_category()},
                 "cannot run " + program + " (Debian package: binutils)"};
}

std::string all_of(int descriptor) {
    std::string all;
    std::array<char, 4096> part;
    for (;;) {
        const auto size = ::read(descriptor, part.data(), part.size());
        if (size > 0) all.append(part.data(), static_cast<std::size_t>(size));
        if (size == 0 || (size < 0 && errno != EINTR)) return all;
    }
}

/// What a program prints on its standard output; what it says is wrong is nobody's. It has no input.
Result<std::string> output_of(const std::vector<std::string>& words) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return cannot_run(words.front(), errno);
    posix_spawn_file_actions_t streams;
    ::posix_spawn_file_actions_init(&streams);
    ::posix_spawn_file_actions_addopen(&streams, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&streams, ends[1], STDOUT_FILENO);
    ::posix_spawn_file_actions_addopen(&streams, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    std::vector<char*> arguments;
    for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    pid_t child = -1;
    const auto refusal = ::posix_spawnp(&child, arguments.front(), &streams, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&streams);
    ::close(ends[1]);
    auto output = refusal == 0 ? all_of(ends[0]) : std::string{};
    ::close(ends[0]);
    if (refusal != 0) return cannot_run(words.front(), refusal);
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) continue;
    return output;
}

bool is_offset(std::string_view text) {
    constexpr std::size_t most = 2 + 16;
    return text.size() <= most && text.find_first_not_of("0123456789abcdef", 2) == std::string_view::npos;
}

bool is_known(std::string_view name) {
    return !name.empty() && !name.starts_with("??");
}

} // namespace

Result<std::string> FrameNames::named(std::string_view stack_trace) const {
    const auto lines = lines_of(stack_trace);
    std::map<std::string_view, std::string> names; // by frame
    for (const auto& program : programs_) {
        const auto module = std::string{file_name(program)} + "+0x";
        std::vector<std::string_view> frames;
        std::vector<std::string> words{"addr2line", "-Cfpe", program};
        for (const auto line : lines) {
            if (frames.size() == most_frames) break;
            if (!line.starts_with(module) || names.contains(line)) continue;
            const auto offset = line.substr(module.size() - 2);
            if (!is_offset(offset)) continue; // anybody's bytes
            frames.push_back(line);
            words.emplace_back(offset);
        }
        if (frames.empty()) continue;
        const auto output = output_of(words);
        if (!output) return output.error();
        const auto answers = lines_of(*output);
        for (std::size_t index = 0; index < std::min(answers.size(), frames.size()); ++index)
            if (is_known(answers[index])) names.emplace(frames[index], answers[index]);
    }
    std::string text;
    for (const auto line : lines) {
        if (!text.empty()) text += '\n';
        text.append(line);
        if (const auto name = names.find(line); name != names.end()) text.append("  ").append(name->second);
    }
    return text;
}

} // namespace velostream::dlq
