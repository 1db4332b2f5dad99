// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/background_alarm.hpp"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <mutex>
#include <type_traits>
#include <utility>
#include <variant>

#include "async/in_place.hpp"
#include "velostream/async/context_membership.hpp"
#include "velostream/async/serial_executor.hpp"

namespace velostream {

namespace {

// The executor of a context that counts its work where others may see to it.
using Counter = std::variant<std::monostate, asio::io_context::executor_type, asio::thread_pool::executor_type>;

Counter counter_of(const asio::any_io_executor& executor) {
    const auto below = below_strands(executor);
    if (const auto* io = below.target<asio::io_context::executor_type>()) return *io;
    if (const auto* pool = below.target<asio::thread_pool::executor_type>()) return *pool;
    return {};
}

using Timer = asio::basic_waitable_timer<asio::steady_timer::clock_type, asio::steady_timer::traits_type, InPlace>;

} // namespace

// The timer's wait counts as one piece of work, which is taken off while it waits. Only what the context runs does
// that, and counts itself: so the context stops when that has ended, and not before it has begun to run.
class BackgroundAlarm::Sleep final : public ContextMember {
  public:
    Sleep(asio::any_io_executor executor, Counter counter, OnRing on_ring)
        : executor_(std::move(executor)), counter_(std::move(counter)), on_ring_(std::move(on_ring)) {}

    void start(TimePoint at) {
        const auto self = std::static_pointer_cast<Sleep>(shared_from_this());
        if (!membership_.join(executor_, self)) return; // it is ending
        std::visit(
            [&]<class Known>(const Known& known) {
                if constexpr (!std::is_same_v<Known, std::monostate>) asio::post(known, [self, at] { self->wait(at); });
            },
            counter_);
    }
    void stop() noexcept {
        OnRing dropped; // ends without the lock
        {
            const std::lock_guard lock{mutex_};
            dropped.swap(on_ring_);
            if (timer_) timer_->cancel();
        }
        if (dropped) membership_.leave(); // else who rings does
    }

  private:
    // Until it is called, or has gone with its context, which may destroy it before it tells its members.
    struct Wake {
        Wake(std::shared_ptr<Sleep> of, std::unique_ptr<Timer> waiting)
            : sleep(std::move(of)), timer(std::move(waiting)) {}
        Wake(Wake&&) noexcept = default;
        Wake& operator=(Wake&&) = delete;
        ~Wake() {
            if (timer) sleep->forget_timer();
        }
        void operator()(boost::system::error_code code) { sleep->wake(!code); }

        std::shared_ptr<Sleep> sleep;
        std::unique_ptr<Timer> timer;
    };

    void forget_timer() noexcept {
        const std::lock_guard lock{mutex_};
        timer_ = nullptr;
    }
    void wait(TimePoint at) {
        const std::lock_guard lock{mutex_};
        if (!on_ring_) return;
        auto timer = std::make_unique<Timer>(InPlace{executor_.context()}, at);
        timer_ = timer.get();
        timer_->async_wait(Wake{std::static_pointer_cast<Sleep>(shared_from_this()), std::move(timer)});
        count(false);
    }
    void wake(bool rings) {
        count(true);
        OnRing ring;
        {
            const std::lock_guard lock{mutex_};
            if (rings) ring.swap(on_ring_);
        }
        if (!ring) return;
        asio::post(executor_, std::move(ring));
        membership_.leave();
    }
    void count(bool starts) const noexcept {
        std::visit(
            [&]<class Known>(const Known& known) {
                if constexpr (!std::is_same_v<Known, std::monostate>)
                    starts ? known.on_work_started() : known.on_work_finished();
            },
            counter_);
    }

    bool detach() noexcept override {
        const std::lock_guard lock{mutex_};
        dropped_.swap(on_ring_);
        return true;
    }
    void drop() noexcept override {
        executor_ = {};
        counter_ = {};
        dropped_ = nullptr;
    }

    ContextMembership membership_;
    asio::any_io_executor executor_;
    Counter counter_;
    OnRing dropped_;             // with its context
    std::recursive_mutex mutex_; // guards what follows; a timer that cannot wait goes under it
    OnRing on_ring_;             // null once it has rung, is stopped or dropped
    Timer* timer_ = nullptr;     // while it waits
};

void BackgroundAlarm::set(const SteadyTime& time, const asio::any_io_executor& executor, TimePoint at, OnRing on_ring) {
    stop();
    auto counter = counter_of(executor);
    if (std::holds_alternative<std::monostate>(counter)) {
        alarm_.set(time, executor, at, [on_ring = std::move(on_ring)](AlarmEnd end) {
            if (end == AlarmEnd::rang) on_ring();
        });
        return;
    }
    auto sleep = std::make_shared<Sleep>(executor, std::move(counter), std::move(on_ring));
    sleep->start(at);
    sleep_ = std::move(sleep);
}

void BackgroundAlarm::stop() noexcept {
    alarm_.stop();
    if (const auto sleep = std::exchange(sleep_, nullptr)) sleep->stop();
}

} // namespace velostream
