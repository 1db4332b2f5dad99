// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/shared_deadline.hpp"

#include <algorithm>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include "velostream/async/serial_executor.hpp"

namespace velostream {

// What the deadlines of a context share. It lives as long as one of them is armed, the context as long as it wants.
//
// A deadline that is due leaves the wheel under the mutex, but rings later, on its own executor. Until then it is known
// by a number, since it may be disarmed and gone by the time its executor comes to it.
class SharedDeadline::Home : public std::enable_shared_from_this<Home> {
  public:
    void arm(SharedDeadline& deadline, TimePoint at) {
        const std::lock_guard lock{mutex_};
        if (is_closed_) return;
        wheel_.arm(deadline, at);
        if (wake_at_ && *wake_at_ <= at) return;
        try {
            locked_set_timer(deadline.executor_);
        } catch (...) {
            wheel_.disarm(deadline);
            throw;
        }
    }

    void disarm(SharedDeadline& deadline) noexcept {
        const std::lock_guard lock{mutex_};
        wheel_.disarm(deadline);
        if (const auto number = std::exchange(deadline.ringing_, 0); number != 0) locked_forget(ringing_.find(number));
    }

    // The context ends.
    void close() noexcept {
        std::optional<asio::steady_timer> timer; // goes without the mutex
        const std::lock_guard lock{mutex_};
        is_closed_ = true;
        timer.swap(timer_);
    }

    // With the mutex, by the wheel.
    void locked_post(SharedDeadline& deadline) {
        const auto number = ++last_number_;
        try {
            if (spare_.empty()) {
                ringing_.emplace(number, &deadline);
            } else {
                spare_.key() = number;
                spare_.mapped() = &deadline;
                ringing_.insert(std::move(spare_));
            }
            deadline.ringing_ = number;
            asio::post(deadline.executor_, [self = shared_from_this(), number] { self->ring(number); });
        } catch (...) { // no memory: it has another try at the next tick
            if (const auto found = ringing_.find(number); found != ringing_.end()) locked_forget(found);
            deadline.ringing_ = 0;
            wheel_.arm(deadline, now());
        }
    }

  private:
    using Ringing = std::unordered_map<std::uint64_t, SharedDeadline*>;

    static TimePoint now() noexcept { return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now()); }

    // Wakes soon even if the next deadline is far: a timer keeps its context running, and deadlines are disarmed
    // without touching it.
    void locked_set_timer(const asio::any_io_executor& executor) {
        const auto at = std::min(wheel_.next_wake().value_or(TimePoint::max()), now() + linger);
        wake_at_.reset();
        // It serves all calls: it must neither stand in line in the strand of one of them, nor count as work for as
        // long as it is there.
        if (!timer_) timer_.emplace(below_strands(executor));
        timer_->expires_at(at);
        timer_->async_wait([self = shared_from_this()](boost::system::error_code code) {
            if (!code || self->has_lost_timer()) self->wake();
        });
        wake_at_ = at;
    }

    void locked_forget(Ringing::const_iterator rung) noexcept { spare_ = ringing_.extract(rung); }

    // One that was to be set to an earlier time, and found no memory for that.
    bool has_lost_timer() const noexcept {
        const std::lock_guard lock{mutex_};
        return !wake_at_ && wheel_.size() != 0;
    }

    void wake() {
        const std::lock_guard lock{mutex_};
        if (is_closed_) return;
        wake_at_.reset();
        wheel_.expire(now());
        if (wheel_.size() != 0 && timer_) locked_set_timer(timer_->get_executor());
    }

    void ring(std::uint64_t number) {
        SharedDeadline* deadline = nullptr;
        {
            const std::lock_guard lock{mutex_};
            const auto found = ringing_.find(number);
            if (found == ringing_.end()) return; // disarmed
            deadline = found->second;
            deadline->ringing_ = 0;
            locked_forget(found);
        }
        const auto keep = std::move(deadline->home_); // this: it may have been the last
        deadline->executor_ = {};
        deadline->ring_(*deadline);
    }

    mutable std::mutex mutex_; // guards what follows, and the deadlines' links and numbers
    DeadlineWheel wheel_{now()};
    Ringing ringing_;
    Ringing::node_type spare_; // the place of the one that has rung last, so that the next takes no memory
    std::uint64_t last_number_ = 0;
    std::optional<asio::steady_timer> timer_;
    std::optional<TimePoint> wake_at_;
    bool is_closed_ = false;
};

class SharedDeadline::Service : public asio::execution_context::service {
  public:
    using key_type = Service;
    static inline asio::execution_context::id id;

    explicit Service(asio::execution_context& context) : service(context), home_(std::make_shared<Home>()) {}

    const std::shared_ptr<Home>& home() const noexcept { return home_; }

  private:
    void shutdown() override { home_->close(); }

    std::shared_ptr<Home> home_;
};

void SharedDeadline::arm(const asio::any_io_executor& executor, TimePoint at) {
    auto& context = executor.context();
    disarm();
    home_ = asio::use_service<Service>(context).home();
    executor_ = executor;
    home_->arm(*this, at);
}

void SharedDeadline::leave_home() noexcept {
    home_->disarm(*this);
    home_.reset();
    executor_ = {};
}

void SharedDeadline::expired(Deadline& deadline) {
    auto& due = static_cast<SharedDeadline&>(deadline);
    due.home_->locked_post(due);
}

} // namespace velostream
