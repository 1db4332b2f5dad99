// SPDX-License-Identifier: Apache-2.0
#include "background.hpp"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "without_signals.hpp"

namespace velostream {

namespace {

using Clock = std::chrono::steady_clock;

struct Running {
    std::mutex mutex;
    std::condition_variable changed;
    int count = 0;
    std::optional<Clock::time_point> patience_ends; // set when the program ends
};

// Never destroyed: a thread may outlast the patience of the program's end, and a static client everything of ours.
Running& running() {
    static auto& one = *new Running;
    return one;
}

class Task {
  public:
    explicit Task(std::function<void()> work) : work_(std::move(work)) { holds_.emplace(); }

    void run() {
        work_();
        work_ = nullptr; // what it holds goes before the program may end
        {
            const std::lock_guard lock{running().mutex};
            is_over_ = true;
        }
        holds_.reset();
    }

    // Of a client that ends after EndOfProgram, which would not wait for it any more.
    void wait_if_the_program_ends() const {
        std::unique_lock lock{running().mutex};
        if (const auto end = running().patience_ends)
            running().changed.wait_until(lock, *end, [this] { return is_over_; });
    }

  private:
    std::function<void()> work_;
    std::optional<HoldsEndOfProgram> holds_;
    bool is_over_ = false; // guarded by Running::mutex
};

class EndOfProgram {
  public:
    explicit EndOfProgram(Duration patience) noexcept : patience_(patience) {}
    ~EndOfProgram() {
        std::unique_lock lock{running().mutex};
        running().patience_ends = Clock::now() + patience_;
        running().changed.wait_until(lock, *running().patience_ends, [] { return running().count == 0; });
    }

  private:
    const Duration patience_;
};

} // namespace

HoldsEndOfProgram::HoldsEndOfProgram() {
    const std::lock_guard lock{running().mutex};
    ++running().count;
}

HoldsEndOfProgram::~HoldsEndOfProgram() {
    const std::lock_guard lock{running().mutex};
    --running().count;
    running().changed.notify_all();
}

void begin_background(Duration patience) {
    static const EndOfProgram waits_for_it{patience};
}

void run_in_background(std::function<void()> work) {
    begin_background();
    const auto task = std::make_shared<Task>(std::move(work));
    try {
        const WithoutSignals for_the_thread;
        std::thread{[task] { task->run(); }}.detach();
    } catch (const std::system_error&) {
        task->run();
    }
    task->wait_if_the_program_ends();
}

} // namespace velostream
