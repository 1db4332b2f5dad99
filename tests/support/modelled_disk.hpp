// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <boost/system/errc.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spool_files.hpp"

namespace velostream::testing {

/// A folder on a disk that may fail at any call, and forgets at a power loss what was not synced. Outlives its handles.
class ModelledDisk {
  public:
    enum class Call : std::uint8_t { create, open, write, sync, truncate, rename, remove, sync_folder };

    /// Asked before each call that changes something, with its number from 0: whether it goes well. One that does not
    /// answers `EIO`, and a write has written the first half of its bytes.
    std::function<bool(Call, std::size_t)> goes_well = [](Call, std::size_t) { return true; };
    std::size_t calls = 0, bytes_read = 0;
    bool can_be_read = true;
    bool takes_bytes = true; // else a write goes well, and writes none
    std::uint64_t free_space = std::uint64_t{1} << 40;

    struct Content {
        std::string now, on_disk;
    };
    std::map<std::string, std::shared_ptr<Content>> names, names_on_disk;

    /// What a process finds that begins after the power has failed now: of what was not synced, `kept` of 256 parts.
    void lose_power(unsigned kept) {
        for (const auto& [name, content] : names)
            if (kept > 128) names_on_disk.emplace(name, content); // the folder may have been written back
        names = names_on_disk;
        for (const auto& [name, content] : names) {
            auto& now = content->now;
            const auto same = std::min(now.size(), content->on_disk.size());
            if (now.size() > content->on_disk.size())
                now.resize(same + (now.size() - same) * kept / 256);
            else
                now = content->on_disk;
            content->on_disk = now;
        }
    }

    std::unique_ptr<SpoolFiles> folder() { return std::make_unique<Folder>(*this); }

  private:
    static Error broken() { return make_error_code(boost::system::errc::io_error); }
    bool ok(Call call) { return goes_well(call, calls++); }

    class File final : public SpoolFile {
      public:
        File(ModelledDisk& disk, std::shared_ptr<Content> content) : disk_(disk), content_(std::move(content)) {}

        Result<std::size_t> write(std::string_view bytes) override {
            const bool well = disk_.ok(Call::write);
            if (!disk_.takes_bytes) return std::size_t{0};
            // Seldom all at once.
            const auto written = well ? std::max<std::size_t>(1, bytes.size() * 3 / 4) : bytes.size() / 2;
            content_->now.append(bytes.substr(0, written));
            if (!well) return broken();
            return written;
        }
        Result<void> sync() override {
            if (!disk_.ok(Call::sync)) return broken();
            content_->on_disk = content_->now;
            return {};
        }
        Result<void> truncate(std::uint64_t size) override {
            if (!disk_.ok(Call::truncate)) return broken();
            content_->now.resize(size);
            return {};
        }
        Result<std::uint64_t> size() override { return content_->now.size(); }
        Result<std::string> read(std::uint64_t at, std::size_t most) override {
            if (!disk_.can_be_read) return broken();
            auto bytes = at >= content_->now.size() ? std::string{} : content_->now.substr(at, most);
            disk_.bytes_read += bytes.size();
            return bytes;
        }

      private:
        ModelledDisk& disk_;
        const std::shared_ptr<Content> content_;
    };

    class Folder final : public SpoolFiles {
      public:
        explicit Folder(ModelledDisk& disk) : disk_(disk) {}

        Result<std::vector<std::string>> names() override {
            std::vector<std::string> names;
            for (const auto& [name, content] : disk_.names) names.push_back(name);
            std::ranges::reverse(names); // in no order
            return names;
        }
        Result<std::unique_ptr<SpoolFile>> create(const std::string& name) override {
            if (!disk_.ok(Call::create)) return broken();
            const auto [place, is_new] = disk_.names.emplace(name, std::make_shared<Content>());
            if (!is_new) return make_error_code(boost::system::errc::file_exists);
            return std::make_unique<File>(disk_, place->second);
        }
        Result<std::unique_ptr<SpoolFile>> open(const std::string& name) override {
            if (!disk_.ok(Call::open)) return broken();
            return std::make_unique<File>(disk_, disk_.names.at(name));
        }
        Result<void> rename(const std::string& from, const std::string& to) override {
            if (!disk_.ok(Call::rename)) return broken();
            disk_.names[to] = disk_.names.at(from);
            disk_.names.erase(from);
            return {};
        }
        Result<void> remove(const std::string& name) override {
            if (!disk_.ok(Call::remove)) return broken();
            disk_.names.erase(name);
            return {};
        }
        Result<void> sync() override {
            if (!disk_.ok(Call::sync_folder)) return broken();
            disk_.names_on_disk = disk_.names;
            return {};
        }
        Result<Space> space() override { return Space{.free = disk_.free_space, .total = std::uint64_t{1} << 41}; }

      private:
        ModelledDisk& disk_;
    };
};

} // namespace velostream::testing
