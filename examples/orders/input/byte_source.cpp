// SPDX-License-Identifier: Apache-2.0
#include "input/byte_source.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/endian/conversion.hpp>
#include <cerrno>
#include <cstdint>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "input/input_error.hpp"

namespace orders {

namespace {

using velostream::Error;
using velostream::Result;

Error system_error(const std::string& name) {
    return unreadable(name, std::generic_category().message(errno));
}

class FileBytes final : public ByteSource {
  public:
    FileBytes(int descriptor, std::string name, std::uint64_t size, std::function<bool()> is_unwanted)
        : descriptor_(descriptor), name_(std::move(name)), size_(size), is_unwanted_(std::move(is_unwanted)) {}
    FileBytes(const FileBytes&) = delete;
    FileBytes& operator=(const FileBytes&) = delete;
    ~FileBytes() override {
        if (descriptor_ != STDIN_FILENO) ::close(descriptor_);
    }

    /// The first bytes, up to `size` of them, which `read` still gives.
    Result<std::string_view> head(std::size_t size) {
        while (head_.size() < size) {
            std::array<char, 64> buffer{};
            const auto got = read_new(buffer.data(), std::min(buffer.size(), size - head_.size()));
            if (!got) return got.error();
            if (*got == 0) break;
            head_.append(buffer.data(), *got);
        }
        return std::string_view{head_};
    }

    Result<std::size_t> read(char* buffer, std::size_t capacity) override {
        if (head_.empty()) return read_new(buffer, capacity);
        const auto size = head_.copy(buffer, capacity);
        head_.erase(0, size);
        return size;
    }
    std::optional<double> progress() const override {
        if (size_ == 0) return std::nullopt;
        return static_cast<double>(read_) / static_cast<double>(size_);
    }

  private:
    Result<std::size_t> read_new(char* buffer, std::size_t capacity) {
        constexpr int look_up_ms = 100; // how often a silent pipe looks whether it is still wanted
        while (!is_unwanted_()) {
            pollfd waiting{descriptor_, POLLIN, 0};
            const int ready = ::poll(&waiting, 1, look_up_ms);
            if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
            const auto got = ::read(descriptor_, buffer, capacity);
            if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
            if (got < 0) return system_error(name_);
            read_ += static_cast<std::uint64_t>(got);
            return static_cast<std::size_t>(got);
        }
        return Error{velostream::Errc::cancelled};
    }

    int descriptor_;
    std::string name_;
    std::uint64_t size_;
    std::function<bool()> is_unwanted_;
    std::atomic<std::uint64_t> read_{0};
    std::string head_; // looked at, and not yet given out
};

class ZstdBytes final : public ByteSource {
  public:
    ZstdBytes(std::unique_ptr<ByteSource> packed, std::string name)
        : packed_(std::move(packed)),
          name_(std::move(name)),
          stream_(ZSTD_createDStream()),
          in_(ZSTD_DStreamInSize()) {}
    ZstdBytes(const ZstdBytes&) = delete;
    ZstdBytes& operator=(const ZstdBytes&) = delete;
    ~ZstdBytes() override { ZSTD_freeDStream(stream_); }

    Result<std::size_t> read(char* buffer, std::size_t capacity) override {
        ZSTD_outBuffer out{buffer, capacity, 0};
        while (out.pos == 0) {
            if (input_.pos == input_.size) {
                auto got = packed_->read(in_.data(), in_.size());
                if (!got) return got.error();
                if (*got == 0) {
                    if (inside_frame_) return broken("ends in the middle of a frame");
                    return std::size_t{0};
                }
                input_ = {in_.data(), *got, 0};
            }
            const auto hint = ZSTD_decompressStream(stream_, &out, &input_);
            if (ZSTD_isError(hint) != 0) return broken(ZSTD_getErrorName(hint));
            inside_frame_ = hint != 0;
        }
        return out.pos;
    }
    std::optional<double> progress() const override { return packed_->progress(); }

  private:
    Error broken(const char* why) const { return unreadable(name_, std::string{"not a whole zstd file: "} + why); }

    std::unique_ptr<ByteSource> packed_;
    std::string name_;
    ZSTD_DStream* stream_;
    std::vector<char> in_;
    ZSTD_inBuffer input_{nullptr, 0, 0};
    bool inside_frame_ = false;
};

constexpr std::size_t magic_size = 4;

bool is_zstd(std::string_view head) {
    if (head.size() < magic_size) return false;
    std::array<unsigned char, magic_size> bytes{};
    std::ranges::copy(head, bytes.begin());
    const auto magic = boost::endian::load_little_u32(bytes.data());
    return magic == ZSTD_MAGICNUMBER || (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

} // namespace

// A pipe is opened without waiting for its writer: the wait of `read` can be ended.
Result<std::unique_ptr<ByteSource>> open_bytes(const std::string& path, std::function<bool()> is_unwanted) {
    const bool standard_input = path == "-";
    const int descriptor = standard_input ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return system_error(path);
    struct stat status{};
    const int problem = ::fstat(descriptor, &status) != 0 ? errno : S_ISDIR(status.st_mode) ? EISDIR : 0;
    if (problem != 0) {
        ::close(descriptor);
        errno = problem;
        return system_error(path);
    }
    const auto size = S_ISREG(status.st_mode) ? static_cast<std::uint64_t>(status.st_size) : 0;
    const std::string name = standard_input ? "standard input" : path;
    auto file = std::make_unique<FileBytes>(descriptor, name, size, std::move(is_unwanted));
    const auto head = file->head(magic_size);
    if (!head) return head.error();
    if (!is_zstd(*head)) return std::unique_ptr<ByteSource>{std::move(file)};
    return std::unique_ptr<ByteSource>{std::make_unique<ZstdBytes>(std::move(file), name)};
}

} // namespace orders
