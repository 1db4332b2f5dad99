// SPDX-License-Identifier: Apache-2.0
//
// A spool in a real folder whose system calls fail, each in its turn: the calls of this program come here first.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/system/errc.hpp>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "spool_log.hpp"
#include "support/temporary_folder.hpp"

namespace velostream {
namespace {

/// Which of the calls fails, counted from when it was set up; those of other kinds are not counted.
struct Fault {
    bool is_on = false;
    std::string only;      // this kind; empty: any
    std::size_t at = 0;    // its number
    std::size_t calls = 0; // so far
    std::string failed;    // the kind of the one that did
    int error = EIO;
};
Fault fault;
std::set<std::string> synced; // folders, by path

// Whether this call fails, with the error set.
bool fails(const char* kind) {
    if (!fault.is_on || (!fault.only.empty() && fault.only != kind)) return false;
    if (fault.calls++ != fault.at) return false;
    fault.failed = kind;
    errno = fault.error;
    return true;
}

} // namespace
} // namespace velostream

// ---- the calls: they fail, or are made ------------------------------------------------------------------------------

extern "C" {

__attribute__((visibility("default"))) int openat(int folder, const char* name, int flags, ...) {
    std::va_list rest;
    va_start(rest, flags);
    const auto mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : mode_t{0};
    va_end(rest);
    if (velostream::fails(std::strcmp(name, "..") == 0 ? "open parent" : "open")) return -1;
    return static_cast<int>(::syscall(SYS_openat, folder, name, flags, mode));
}

__attribute__((visibility("default"))) ssize_t write(int descriptor, const void* bytes, size_t size) {
    // One that fails has written half of it before.
    if (velostream::fails("write")) {
        static_cast<void>(::syscall(SYS_write, descriptor, bytes, size / 2));
        errno = EIO;
        return -1;
    }
    return ::syscall(SYS_write, descriptor, bytes, size);
}

__attribute__((visibility("default"))) int fdatasync(int descriptor) {
    static_cast<void>(descriptor); // the power does not fail here, and disks take their time
    return velostream::fails("fdatasync") ? -1 : 0;
}

__attribute__((visibility("default"))) int fsync(int descriptor) {
    if (velostream::fails("fsync")) return -1;
    std::string path(4096, '\0');
    const auto link = "/proc/self/fd/" + std::to_string(descriptor);
    const auto size = ::readlink(link.c_str(), path.data(), path.size());
    path.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    velostream::synced.insert(path);
    return 0;
}

__attribute__((visibility("default"))) int mkdir(const char* path, mode_t mode) noexcept {
    return velostream::fails("mkdir") ? -1 : static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}

__attribute__((visibility("default"))) int ftruncate(int descriptor, off_t size) noexcept {
    return velostream::fails("ftruncate") ? -1 : static_cast<int>(::syscall(SYS_ftruncate, descriptor, size));
}

__attribute__((visibility("default"))) int renameat(int from_folder, const char* from, int to_folder,
                                                    const char* to) noexcept {
    if (velostream::fails("rename")) return -1;
    return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, 0U));
}

__attribute__((visibility("default"))) int unlinkat(int folder, const char* name, int flags) noexcept {
    return velostream::fails("unlink") ? -1 : static_cast<int>(::syscall(SYS_unlinkat, folder, name, flags));
}

__attribute__((visibility("default"))) ssize_t pwrite(int descriptor, const void* bytes, size_t size, off_t at) {
    return velostream::fails("pwrite") ? -1 : ::syscall(SYS_pwrite64, descriptor, bytes, size, at);
}

__attribute__((visibility("default"))) int flock(int descriptor, int operation) noexcept {
    return velostream::fails("flock") ? -1 : static_cast<int>(::syscall(SYS_flock, descriptor, operation));
}

} // extern "C"

namespace velostream {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr SpoolLimits limits{.segment_size = 200, .max_size = 10'000, .min_free_disk = 0};

class SpoolSystemFaultsTest : public ::testing::Test {
  protected:
    ~SpoolSystemFaultsTest() override { fault = {}; }

    Result<SpoolLog> open_log() const {
        auto files = open_spool_folder(spool());
        if (!files) return files.error();
        return SpoolLog::open(std::move(*files), limits);
    }
    void append(SpoolLog& log, const std::vector<std::string>& payloads) {
        const std::vector<std::string_view> views(payloads.begin(), payloads.end());
        if (const auto first = log.append(views))
            for (std::size_t i = 0; i < payloads.size(); ++i) safe[*first + i] = payloads[i];
    }
    void done(SpoolLog& log, std::uint64_t sequence) {
        safe.erase(sequence);
        static_cast<void>(log.done(sequence));
    }
    fs::path spool() const { return folder / "spool"; }
    fs::path file(const char* name) const { return spool() / name; }

    /// A damaged file, one that is well, and one whose end is torn.
    void leave_a_spool() {
        fs::remove_all(spool());
        safe.clear();
        {
            auto log = open_log().value();
            append(log, {"first", "damaged", "third"});
            append(log, {std::string(190, 'x')});
            append(log, {"last"});
        }
        std::string bytes;
        {
            std::ifstream in{file("00000000000000000001.spool"), std::ios::binary};
            bytes.assign(std::istreambuf_iterator<char>{in}, {});
        }
        bytes[bytes.find("damaged")] ^= 1;
        std::ofstream{file("00000000000000000001.spool"), std::ios::binary} << bytes;
        std::ofstream{file("00000000000000000005.spool"), std::ios::binary | std::ios::app} << "torn";
        safe.erase(2);
    }
    void use_the_spool() {
        auto log = open_log();
        if (!log) return;
        done(*log, 1);
        done(*log, 3); // so the damaged file is put aside
        append(*log, {"new"});
        append(*log, {std::string(190, 'z')});
        done(*log, 4); // so that its file goes
        append(*log, {"newer"});
    }
    void expect_nothing_is_lost(const std::string& what) {
        auto log = open_log();
        ASSERT_TRUE(log) << what << log.error();
        SpoolCursor cursor;
        const auto entries = log->read(cursor, Bytes{1} << 30);
        ASSERT_TRUE(entries) << what << entries.error();
        std::map<std::uint64_t, std::string> found;
        for (const auto& entry : *entries) found[entry.sequence] = entry.payload;
        for (const auto& [sequence, payload] : safe) ASSERT_EQ(found[sequence], payload) << what;
        for (const auto& [sequence, payload] : found) ASSERT_TRUE(log->done(sequence)) << what;
        ASSERT_EQ(log->get_stats().segments, 0U) << what;
        ASSERT_TRUE(fs::exists(file("00000000000000000001.spool.bad"))) << what << ": what is damaged is kept";
    }

    const TemporaryFolder folder;
    std::map<std::uint64_t, std::string> safe; // and not done
};

TEST_F(SpoolSystemFaultsTest, WhicheverCallFailsNothingIsLost) {
    std::set<std::string> failed;
    for (std::size_t at = 0;; ++at) {
        leave_a_spool();
        fault = {.is_on = true, .at = at};
        use_the_spool();
        const auto kind = fault.failed;
        fault = {};
        expect_nothing_is_lost("call " + std::to_string(at) + " (" + kind + ")");
        if (HasFatalFailure() || kind.empty()) break;
        failed.insert(kind);
    }

    EXPECT_EQ(failed, (std::set<std::string>{"mkdir", "open parent", "open", "flock", "ftruncate", "pwrite", "write",
                                             "fdatasync", "fsync", "rename", "unlink"}));
}

TEST_F(SpoolSystemFaultsTest, ANewFolderIsOpenedWhenItAndThoseAboveItAreOnTheDiskWhicheverCallFailedBefore) {
    const auto root = fs::canonical(folder.path());
    std::set<std::string> failed;
    for (std::size_t at = 0;; ++at) {
        fs::remove_all(root / "a");
        synced.clear();
        fault = {.is_on = true, .at = at};
        const bool is_open = open_spool_folder(root / "a/b/spool").has_value();
        const auto kind = fault.failed;
        fault = {};
        ASSERT_EQ(is_open, kind.empty()) << at << kind;
        EXPECT_TRUE(is_open || open_spool_folder(root / "a/b/spool")) << at << kind;
        for (const auto& parent : {root, root / "a", root / "a/b"})
            EXPECT_TRUE(synced.contains(parent)) << parent << ", call " << at << ": " << kind;
        if (kind.empty()) break;
        failed.insert(kind);
    }

    EXPECT_EQ(failed, (std::set<std::string>{"mkdir", "open parent", "fsync", "open", "flock", "ftruncate", "pwrite"}));
}

TEST_F(SpoolSystemFaultsTest, AFolderWhoseParentCannotBeSyncedIsNotOpenedAndNotLeft) {
    for (const int error : {EIO, EACCES, EROFS, EINVAL}) {
        fault = {.is_on = true, .only = "fsync", .error = error};
        const auto files = open_spool_folder(spool());
        fault = {};

        ASSERT_FALSE(files) << error;
        EXPECT_EQ(files.error().code().value(), error);
        EXPECT_EQ(files.error().detail(), "fsync of the parent of " + spool().string());
        EXPECT_FALSE(fs::exists(spool())) << error;
    }
    fault = {.is_on = true, .only = "open parent"};
    EXPECT_EQ(open_spool_folder(spool()).error().detail(), "open the parent of " + spool().string());
}

TEST_F(SpoolSystemFaultsTest, AFolderThatWasThereNeedsAParentThatCanBeChangedOnlyIfThatFails) {
    ASSERT_TRUE(open_spool_folder(spool()));
    synced.clear();
    ASSERT_TRUE(open_spool_folder(spool()));
    EXPECT_TRUE(synced.contains(fs::canonical(folder.path()))) << "who made it may not have come to that";

    const auto opens_with = [&](const char* kind, int error) {
        fault = {.is_on = true, .only = kind, .error = error};
        const bool is_open = open_spool_folder(spool()).has_value();
        EXPECT_EQ(fault.failed, kind);
        fault = {};
        return is_open;
    };
    EXPECT_TRUE(opens_with("open parent", EACCES));
    EXPECT_TRUE(opens_with("fsync", EROFS));
    EXPECT_TRUE(opens_with("fsync", EINVAL));
    EXPECT_FALSE(opens_with("fsync", EIO));
    EXPECT_FALSE(opens_with("open parent", EMFILE));
}

TEST_F(SpoolSystemFaultsTest, AnErrorSaysWhatFailedAndOfWhichFile) {
    const auto failure_of = [&](const char* kind, auto call) {
        fault = {.is_on = true, .only = kind};
        const auto result = call();
        fault = {};
        EXPECT_FALSE(result) << kind;
        EXPECT_EQ(result.error().code(), boost::system::errc::io_error) << kind;
        return std::string{result.error().detail()};
    };
    auto files = open_spool_folder(spool()).value();
    const auto of = [&](const char* name) { return file(name).string(); };
    EXPECT_EQ(failure_of("open", [&] { return files->create("a"); }), "create " + of("a"));
    auto created = files->create("a").value();
    EXPECT_EQ(failure_of("open", [&] { return files->open("a"); }), "open " + of("a"));
    EXPECT_EQ(failure_of("write", [&] { return created->write("bytes"); }), "write to " + of("a"));
    EXPECT_EQ(failure_of("fdatasync", [&] { return created->sync(); }), "fdatasync of " + of("a"));
    EXPECT_EQ(failure_of("ftruncate", [&] { return created->truncate(0); }), "truncate " + of("a"));
    EXPECT_EQ(failure_of("rename", [&] { return files->rename("a", "b"); }), "rename " + of("a"));
    EXPECT_EQ(failure_of("unlink", [&] { return files->remove("a"); }), "remove " + of("a"));
    EXPECT_EQ(failure_of("fsync", [&] { return files->sync(); }), "fsync of " + spool().string());
    files.reset();
    for (const auto* kind : {"flock", "ftruncate", "pwrite"})
        EXPECT_THAT(failure_of(kind, [&] { return open_spool_folder(spool()); }), HasSubstr(of("lock")));
}

} // namespace
} // namespace velostream
