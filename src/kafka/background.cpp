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

// Shared with the threads: one that outlasts the patience of the program's end must find it alive.
struct Running {
    std::mutex mutex;
    std::condition_variable changed;
    int count = 0;
};

class Task {
  public:
    Task(std::function<void()> work, std::shared_ptr<Running> running)
        : work_(std::move(work)), running_(std::move(running)) {
        const std::lock_guard lock{running_->mutex};
        ++running_->count;
    }

    void run() {
        work_();
        work_ = nullptr; // what it holds goes before the program may end
        const std::lock_guard lock{running_->mutex};
        --running_->count;
        running_->changed.notify_all();
    }

  private:
    std::function<void()> work_;
    const std::shared_ptr<Running> running_;
};

class Background {
  public:
    ~Background() {
        constexpr auto patience = std::chrono::seconds{10};
        std::unique_lock lock{running_->mutex};
        running_->changed.wait_for(lock, patience, [this] { return running_->count == 0; });
    }

    void run(std::function<void()> work) {
        const auto task = std::make_shared<Task>(std::move(work), running_);
        const WithoutSignals for_the_thread;
        try {
            std::thread{[task] { task->run(); }}.detach();
        } catch (const std::system_error&) {
            task->run();
        }
    }

  private:
    std::shared_ptr<Running> running_ = std::make_shared<Running>();
};

Background& background() {
    static Background one;
    return one;
}

} // namespace

void run_in_background(std::function<void()> work) {
    background().run(std::move(work));
}

void begin_background() {
    background();
}

} // namespace velostream::kafka
