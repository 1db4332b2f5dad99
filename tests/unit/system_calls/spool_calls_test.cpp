// SPDX-License-Identifier: Apache-2.0
//
// What the spool asks of the operating system, in its order, seen from below: the calls of this program come here
// first.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdarg>
#include <filesystem>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "support/temporary_folder.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/spool.hpp"

namespace velostream {
namespace {

/// Everything that happened, numbered: a call has one number when it begins and another when it has ended.
class Trace {
  public:
    struct Call {
        std::size_t began, ended;
        std::string bytes; // of a write
    };
    struct File {
        bool is_new = false;
        std::size_t made = 0; // when the call that made it had ended
        std::vector<Call> writes, syncs;
    };

    std::size_t moment() {
        const std::lock_guard lock{mutex};
        return ++moments;
    }

    std::mutex mutex;
    bool is_on = false;
    std::size_t moments = 0;
    std::map<int, std::string> names;                      // of the descriptors that are open
    std::map<std::string, File> files;                     // by name
    std::map<std::string, std::vector<Call>> folder_syncs; // by path
    std::map<std::string, std::size_t> folders;            // that were made, and when the call had ended
    std::map<std::string, std::size_t> acknowledged;       // payloads, and when
};
Trace trace;

// Whether the call is to be noted, and the file that it is about.
Trace::File* traced(int descriptor) {
    const auto name = trace.names.find(descriptor);
    return trace.is_on && name != trace.names.end() ? &trace.files[name->second] : nullptr;
}

std::string path_of(int descriptor) {
    std::string path(4096, '\0');
    const auto link = "/proc/self/fd/" + std::to_string(descriptor);
    const auto size = ::readlink(link.c_str(), path.data(), path.size());
    path.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return path;
}

} // namespace
} // namespace velostream

// ---- the calls: noted, and made -------------------------------------------------------------------------------------

extern "C" {

__attribute__((visibility("default"))) int openat(int folder, const char* name, int flags, ...) {
    std::va_list rest;
    va_start(rest, flags);
    const auto mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : mode_t{0};
    va_end(rest);
    const auto number = static_cast<int>(::syscall(SYS_openat, folder, name, flags, mode));
    using velostream::trace;
    const std::lock_guard lock{trace.mutex};
    trace.names.erase(number); // of one that was closed
    if (trace.is_on && number >= 0 && (flags & O_APPEND) != 0) {
        trace.names[number] = name;
        if ((flags & O_EXCL) != 0) trace.files[name] = {.is_new = true, .made = ++trace.moments};
    }
    return number;
}

__attribute__((visibility("default"))) ssize_t write(int descriptor, const void* bytes, size_t size) {
    using velostream::trace;
    const auto began = trace.moment();
    const auto written = ::syscall(SYS_write, descriptor, bytes, size);
    const std::lock_guard lock{trace.mutex};
    if (auto* file = velostream::traced(descriptor); file != nullptr && written > 0)
        file->writes.push_back(
            {began, ++trace.moments, {static_cast<const char*>(bytes), static_cast<std::size_t>(written)}});
    return written;
}

__attribute__((visibility("default"))) int fdatasync(int descriptor) {
    using velostream::trace;
    const auto began = trace.moment();
    const auto result = static_cast<int>(::syscall(SYS_fdatasync, descriptor));
    const std::lock_guard lock{trace.mutex};
    if (auto* file = velostream::traced(descriptor); file != nullptr && result == 0)
        file->syncs.push_back({began, ++trace.moments, {}});
    return result;
}

__attribute__((visibility("default"))) int fsync(int descriptor) {
    using velostream::trace;
    const auto began = trace.moment();
    const auto result = static_cast<int>(::syscall(SYS_fsync, descriptor));
    const std::lock_guard lock{trace.mutex};
    if (trace.is_on && result == 0)
        trace.folder_syncs[velostream::path_of(descriptor)].push_back({began, ++trace.moments, {}});
    return result;
}

__attribute__((visibility("default"))) int mkdir(const char* path, mode_t mode) noexcept {
    const auto result = static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, path, mode));
    using velostream::trace;
    const std::lock_guard lock{trace.mutex};
    if (trace.is_on && result == 0) trace.folders[path] = ++trace.moments;
    return result;
}

} // extern "C"

namespace velostream {
namespace {

constexpr auto never = std::numeric_limits<std::size_t>::max();

/// When the first of the calls had ended that began after `moment`.
std::size_t first_after(const std::vector<Trace::Call>& calls, std::size_t moment) {
    for (const auto& call : calls)
        if (call.began > moment) return call.ended;
    return never;
}

/// When `payload` was safe from a loss of power: written, its file synced after that, and `folder` after the file was
/// made.
std::size_t safe_at(const std::string& payload, const std::string& folder) {
    for (const auto& [name, file] : trace.files)
        for (const auto& write : file.writes) {
            if (write.bytes.find(payload) == std::string::npos) continue;
            const auto in_folder = file.is_new ? first_after(trace.folder_syncs[folder], file.made) : 0;
            return std::max(first_after(file.syncs, write.ended), in_folder);
        }
    return never;
}

TEST(SpoolCalls, NothingIsAcknowledgedBeforeTheSyncsThatMakeItSafeHaveEnded) {
    const TemporaryFolder temporary;
    const auto root = std::filesystem::canonical(temporary.path());
    const auto above = root / "above", folder = above / "spool";
    trace.is_on = true;
    std::size_t failed = 0;
    {
        auto spool = Spool::open({.directory = folder, .min_free_disk = 0, .segment_size = 4_KiB});
        ASSERT_TRUE(spool) << spool.error();
        asio::io_context io;
        // Each that has come there is followed by another, eight at a time, into some forty files.
        std::size_t next = 0;
        const auto append = [&](auto& self) -> void {
            if (next == 400) return;
            auto payload = "<payload " + std::to_string(next++) + ">" + std::string(400, '.');
            const auto name = payload.substr(0, payload.find('>') + 1);
            spool->async_append(std::move(payload), TimePoint::max(), SteadyTime{},
                                asio::bind_executor(io, [&, name](const Result<std::uint64_t>& appended) {
                                    trace.acknowledged[name] = trace.moment();
                                    failed += appended ? 0U : 1U;
                                    self(self);
                                }));
        };
        const auto work = asio::make_work_guard(io);
        for (int i = 0; i < 8; ++i) append(append);
        while (trace.acknowledged.size() < 400) io.run_one();
    }
    trace.is_on = false;

    EXPECT_EQ(failed, 0u);
    EXPECT_GT(trace.files.size(), 30u) << "the trace saw new files begun";
    auto first = never;
    for (const auto& [payload, moment] : trace.acknowledged) {
        EXPECT_LT(safe_at(payload, folder), moment) << payload;
        first = std::min(first, moment);
    }
    ASSERT_EQ(trace.folders.size(), 2u) << "the trace saw the folders made";
    EXPECT_LT(first_after(trace.folder_syncs[root], trace.folders[above]), first);
    EXPECT_LT(first_after(trace.folder_syncs[above], trace.folders[folder]), first);
}

} // namespace
} // namespace velostream
