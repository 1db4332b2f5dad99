// SPDX-License-Identifier: Apache-2.0
#include "background.hpp"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
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

class Background {
  public:
    ~Background() {
        constexpr auto patience = std::chrono::seconds{10};
        std::unique_lock lock{running_->mutex};
        running_->changed.wait_for(lock, patience, [this] { return running_->count == 0; });
    }

    void run(std::function<void()> work) {
        {
            const std::lock_guard lock{running_->mutex};
            ++running_->count;
        }
        const WithoutSignals for_the_thread;
        std::thread([running = running_, work = std::move(work)]() mutable {
            work();
            work = nullptr; // what it holds goes before the program may end
            const std::lock_guard lock{running->mutex};
            --running->count;
            running->changed.notify_all();
        }).detach();
    }

  private:
    std::shared_ptr<Running> running_ = std::make_shared<Running>();
};

} // namespace

void run_in_background(std::function<void()> work) {
    static Background background;
    background.run(std::move(work));
}

} // namespace velostream::kafka
