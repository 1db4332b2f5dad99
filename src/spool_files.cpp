// SPDX-License-Identifier: Apache-2.0
#include "spool_files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <boost/system/system_error.hpp>
#include <cerrno>
#include <system_error>
#include <utility>

namespace velostream {

namespace {

constexpr auto lock_name = "lock";

class Descriptor {
  public:
    explicit Descriptor(int number = -1) noexcept : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~Descriptor() {
        if (number_ >= 0) ::close(number_);
    }
    int number() const noexcept { return number_; }
    explicit operator bool() const noexcept { return number_ >= 0; }

  private:
    int number_;
};

// Of the call that has just failed.
Error failed(std::string_view what, const std::string& file) {
    const boost::system::error_code code{errno, boost::system::system_category()};
    return Error{code, std::string{what}.append(" ").append(file)};
}

// Again if a signal came first.
template <class Call>
auto uninterrupted(Call call) {
    auto result = call();
    while (result < 0 && errno == EINTR) result = call();
    return result;
}

class File final : public SpoolFile {
  public:
    File(Descriptor descriptor, std::string path) : descriptor_(std::move(descriptor)), path_(std::move(path)) {}

    Result<std::size_t> write(std::string_view bytes) override {
        const auto written = uninterrupted([&] { return ::write(descriptor_.number(), bytes.data(), bytes.size()); });
        if (written < 0) return failed("write to", path_);
        return static_cast<std::size_t>(written);
    }
    Result<void> sync() override {
        if (uninterrupted([&] { return ::fdatasync(descriptor_.number()); }) < 0) return failed("fdatasync of", path_);
        struct stat status{};
        if (::fstat(descriptor_.number(), &status) < 0) return failed("stat of", path_);
        if (status.st_nlink != 0) return {};
        errno = ENOENT;
        return failed("fdatasync of", path_);
    }
    Result<void> truncate(std::uint64_t size) override {
        if (uninterrupted([&] { return ::ftruncate(descriptor_.number(), static_cast<off_t>(size)); }) < 0)
            return failed("truncate", path_);
        return {};
    }
    Result<std::uint64_t> size() override {
        struct stat status{};
        if (::fstat(descriptor_.number(), &status) < 0) return failed("stat of", path_);
        return static_cast<std::uint64_t>(status.st_size);
    }
    Result<std::string> read(std::uint64_t at, std::size_t most) override {
        std::string bytes(most, '\0');
        std::size_t filled = 0;
        while (filled < most) {
            const auto read = uninterrupted([&] {
                return ::pread(descriptor_.number(), bytes.data() + filled, most - filled,
                               static_cast<off_t>(at + filled));
            });
            if (read < 0) return failed("read from", path_);
            if (read == 0) break;
            filled += static_cast<std::size_t>(read);
        }
        bytes.resize(filled);
        return bytes;
    }

  private:
    const Descriptor descriptor_;
    const std::string path_;
};

class Folder final : public SpoolFiles {
  public:
    Folder(std::filesystem::path path, Descriptor folder, Descriptor lock)
        : path_(std::move(path)), folder_(std::move(folder)), lock_(std::move(lock)) {}

    Result<std::vector<std::string>> names() override {
        std::vector<std::string> names;
        std::error_code code;
        for (std::filesystem::directory_iterator entry{path_, code}, end; !code && entry != end; entry.increment(code))
            if (auto name = entry->path().filename().string(); name != lock_name) names.push_back(std::move(name));
        if (code) return Error{code}.with_detail("list " + path_.string());
        return names;
    }
    Result<std::unique_ptr<SpoolFile>> create(const std::string& name) override {
        return open(name, O_CREAT | O_EXCL, "create");
    }
    Result<std::unique_ptr<SpoolFile>> open(const std::string& name) override { return open(name, 0, "open"); }
    Result<void> rename(const std::string& from, const std::string& to) override {
        if (::renameat(folder_.number(), from.c_str(), folder_.number(), to.c_str()) < 0)
            return failed("rename", in_folder(from));
        return {};
    }
    Result<void> remove(const std::string& name) override {
        if (::unlinkat(folder_.number(), name.c_str(), 0) < 0) return failed("remove", in_folder(name));
        return {};
    }
    Result<void> sync() override {
        if (uninterrupted([&] { return ::fsync(folder_.number()); }) < 0) return failed("fsync of", path_.string());
        return {};
    }
    Result<Space> space() override {
        struct statvfs status{};
        if (::fstatvfs(folder_.number(), &status) < 0) return failed("statvfs of", path_.string());
        const std::uint64_t block = status.f_frsize;
        return Space{.free = status.f_bavail * block, .total = status.f_blocks * block};
    }

  private:
    std::string in_folder(const std::string& name) const { return (path_ / name).string(); }
    Result<std::unique_ptr<SpoolFile>> open(const std::string& name, int flags, std::string_view what) {
        Descriptor file{uninterrupted([&] {
            return ::openat(folder_.number(), name.c_str(), O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
        })};
        if (!file) return failed(what, in_folder(name));
        return std::make_unique<File>(std::move(file), in_folder(name));
    }

    const std::filesystem::path path_;
    const Descriptor folder_, lock_;
};

// Who has it: what he wrote into the file, which may be a moment away.
std::string owner_of(const Descriptor& lock) {
    std::string owner(32, '\0');
    const auto read = ::pread(lock.number(), owner.data(), owner.size(), 0);
    owner.resize(read > 0 ? static_cast<std::size_t>(read) : 0);
    return owner.empty() ? "another process" : "process " + owner;
}

// That `folder` is where it is is on the disk when this has returned. Whoever `made` it must know that. If it was
// there, it may be of somebody who was killed before he knew; but nobody has made it where its parent cannot be
// changed, which may then refuse to be read or synced.
Result<void> sync_entry(const Descriptor& folder, const std::filesystem::path& path, bool made) {
    const auto refused = [&](std::string_view what) -> Result<void> {
        if (!made && (errno == EACCES || errno == EROFS || errno == EINVAL)) return {};
        return failed(what, path.string());
    };
    const Descriptor parent{
        uninterrupted([&] { return ::openat(folder.number(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC); })};
    if (!parent) return refused("open the parent of");
    if (uninterrupted([&] { return ::fsync(parent.number()); }) < 0) return refused("fsync of the parent of");
    return {};
}

// Opened, and made where there is none, with those above it. Each is on the disk before one is made in it, so that only
// the lowest that a killed process has left may be lost again.
Result<Descriptor> make_folder(const std::filesystem::path& path, mode_t mode) {
    const auto make = [&] { return ::mkdir(path.c_str(), mode) == 0 ? 0 : errno; };
    const auto parent = path.parent_path();
    auto code = make();
    if (code == ENOENT && !parent.empty() && parent != path) {
        if (const auto above = make_folder(parent, 0777); !above) return above.error();
        code = make();
    }
    const bool made = code == 0;
    if (!made && code != EEXIST) {
        errno = code;
        return failed("make", path.string());
    }
    Descriptor folder{uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); })};
    if (!folder) return failed("open", path.string());
    if (const auto synced = sync_entry(folder, path, made); !synced) {
        if (made) ::rmdir(path.c_str()); // a later sync might succeed and mean nothing: the next one makes it again
        return synced.error();
    }
    return folder;
}

} // namespace

Result<std::unique_ptr<SpoolFiles>> open_spool_folder(const std::filesystem::path& path) {
    auto made = make_folder(path.has_filename() ? path : path.parent_path(), 0700);
    if (!made) return made.error();
    auto folder = std::move(*made);

    const auto lock_path = (path / lock_name).string();
    Descriptor lock{uninterrupted(
        [&] { return ::openat(folder.number(), lock_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600); })};
    if (!lock) return failed("open", lock_path);
    // Goes with the process, however that ends.
    if (uninterrupted([&] { return ::flock(lock.number(), LOCK_EX | LOCK_NB); }) < 0) {
        if (errno != EWOULDBLOCK) return failed("lock", lock_path);
        return Error{boost::system::errc::make_error_code(boost::system::errc::device_or_resource_busy),
                     "the spool " + path.string() + " belongs to " + owner_of(lock)};
    }
    const auto owner = std::to_string(::getpid());
    if (::ftruncate(lock.number(), 0) < 0 ||
        ::pwrite(lock.number(), owner.data(), owner.size(), 0) != static_cast<ssize_t>(owner.size()))
        return failed("write to", lock_path);
    return std::make_unique<Folder>(path, std::move(folder), std::move(lock));
}

} // namespace velostream
