// SPDX-License-Identifier: Apache-2.0
#include "background.hpp"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "without_signals.hpp"

namespace velostream::kafka {

namespace {

struct Running {
    std::mutex mutex;
    std::condition_variable changed;
    int count = 0;
    bool program_ends = false;
};

// Never destroyed: a thread may outlast the patience of the program's end, and a static client everything of ours.
Running& running() {
    static auto& one = *new Running;
    return one;
}

class Task {
  public:
    explicit Task(std::function<void()> work) : work_(std::move(work)) {
        const std::lock_guard lock{running().mutex};
        ++running().count;
    }

    void run() {
        work_();
        work_ = nullptr; // what it holds goes before the program may end
        const std::lock_guard lock{running().mutex};
        --running().count;
        running().changed.notify_all();
    }

  private:
    std::function<void()> work_;
};

struct EndOfProgram {
    ~EndOfProgram() {
        constexpr auto patience = std::chrono::seconds{10};
        std::unique_lock lock{running().mutex};
        running().program_ends = true;
        running().changed.wait_for(lock, patience, [] { return running().count == 0; });
    }
};

bool program_ends() {
    const std::lock_guard lock{running().mutex};
    return running().program_ends;
}

} // namespace

void run_in_background(std::function<void()> work) {
    static const EndOfProgram waits_for_it;
    if (program_ends()) return work(); // nobody would wait for it any more
    const auto task = std::make_shared<Task>(std::move(work));
    const WithoutSignals for_the_thread;
    try {
        std::thread{[task] { task->run(); }}.detach();
    } catch (const std::system_error&) {
        task->run();
    }
}

} // namespace velostream::kafka
