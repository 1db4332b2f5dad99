// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "velostream/resource_manager.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {

using namespace std::chrono_literals;
using testing::ManualTime;

// Writes down what it is told.
struct RecordingObserver : Observer {
    void on_memory_allocated(const MemoryAllocated& event) noexcept override {
        add("allocated", event.name, event.bytes, event.used);
    }
    void on_memory_released(const MemoryReleased& event) noexcept override {
        add("released", event.name, event.bytes, event.used);
    }
    void on_memory_refused(const MemoryRefused& event) noexcept override {
        events.push_back("refused " + std::string{event.name} + " " + std::to_string(event.asked));
    }
    void on_memory_stalled(const MemoryStalled& event) noexcept override {
        events.push_back("stalled " + std::string{event.account} + ", " + std::to_string(event.waiting) +
                         " waiting, used " + std::to_string(event.used) + " of " + std::to_string(event.limit) + ", " +
                         std::to_string(event.lasts / 1s) + " s");
    }
    void on_pressure_changed(const PressureChanged& event) noexcept override {
        events.push_back(std::string{to_string(event.from)} + " -> " + std::string{to_string(event.to)});
    }
    void add(std::string_view what, std::string_view name, Bytes bytes, Bytes used) {
        events.push_back(std::string{what} + " " + std::string{name} + " " + std::to_string(bytes) + ", used " +
                         std::to_string(used));
    }
    std::vector<std::string> take() { return std::exchange(events, {}); }
    std::vector<std::string> events;
};

using Events = std::vector<std::string>;

/// Managers whose machine, control group and clock are what the test says.
class ResourceManagerTest : public ::testing::Test {
  protected:
    ResourceManagerTest()
        : folder_(
              std::filesystem::path{::testing::TempDir()} /
              ("resource_manager_" + std::string{::testing::UnitTest::GetInstance()->current_test_info()->name()})) {
        std::filesystem::remove_all(folder_);
        write("proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 6291456 kB\n");
    }
    ~ResourceManagerTest() override { std::filesystem::remove_all(folder_); }

    void write(std::string_view file, std::string_view text) const {
        const auto path = folder_ / file;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream{path} << text;
    }
    // Files of its own, so that the machine the test runs on does not matter.
    ResourceManagerOptions options() const {
        return {.observer = observer, .system_files = {(folder_ / "proc").string(), (folder_ / "cgroup").string()}};
    }
    ResourceManager<NoConnections, ManualTime> manager(const StreamingConfig& config) {
        return ResourceManager<NoConnections, ManualTime>{io.get_executor(), config, options(), time};
    }
    ResourceManager<NoConnections, ManualTime> limited(std::uint64_t megabytes) {
        return manager({.max_memory_mb = megabytes});
    }

    asio::io_context io;
    ManualTime time;
    std::shared_ptr<RecordingObserver> observer = std::make_shared<RecordingObserver>();

  private:
    std::filesystem::path folder_;
};

} // namespace velostream
