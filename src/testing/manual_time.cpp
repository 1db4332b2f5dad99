// SPDX-License-Identifier: Apache-2.0
#include "velostream/testing/manual_time.hpp"

#include <algorithm>
#include <atomic>
#include <boost/asio/append.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <map>
#include <mutex>
#include <utility>

#include "velostream/async/context_membership.hpp"

namespace velostream::testing {

struct ManualTime::Sleeper final : ContextMember {
    Sleeper(std::weak_ptr<Sleepers> where, asio::any_io_executor on, SleepHandler then)
        : owner(std::move(where)),
          executor(asio::prefer(std::move(on), asio::execution::outstanding_work.tracked)),
          handler(std::move(then)) {}

    bool detach() noexcept override;
    void drop() noexcept override {
        handler = nullptr;
        executor = {};
    }
    void complete(boost::system::error_code code) {
        const auto on = std::exchange(executor, {});
        asio::post(on, asio::append(std::move(handler), code)); // goes on to the handler's own executor from there
    }

    const std::weak_ptr<Sleepers> owner;
    ContextMembership membership;
    // Guarded by the mutex of Sleepers. Whoever makes `asleep` false owns executor and handler.
    asio::any_io_executor executor;
    SleepHandler handler;
    std::multimap<TimePoint, std::shared_ptr<Sleeper>>::iterator place; // valid while asleep
    bool asleep = false;
};

class ManualTime::Sleepers : public std::enable_shared_from_this<Sleepers> {
  public:
    explicit Sleepers(TimePoint start) : now_(start.time_since_epoch().count()) {}
    Sleepers(const Sleepers&) = delete;
    Sleepers& operator=(const Sleepers&) = delete;
    ~Sleepers() { wake_until(TimePoint::max(), asio::error::operation_aborted); }

    TimePoint now() const noexcept { return TimePoint{Duration{now_.load()}}; }

    void add(TimePoint at, const std::shared_ptr<Sleeper>& sleeper) {
        const std::lock_guard lock{mutex_};
        if (at <= now()) return sleeper->complete({});
        decltype(by_deadline_) place{{at, sleeper}}; // first, since it may throw
        if (!sleeper->membership.join(sleeper->executor, sleeper)) return;
        sleeper->place = by_deadline_.insert(place.extract(place.begin())); // after those of the same moment
        sleeper->asleep = true;
    }

    void advance_to(TimePoint at) {
        {
            const std::lock_guard lock{mutex_};
            if (at <= now()) return;
            now_ = at.time_since_epoch().count();
        }
        wake_until(at, {});
    }

    void cancel(Sleeper& sleeper) {
        std::unique_lock lock{mutex_};
        if (!sleeper.asleep) return;
        const auto taken = take(sleeper);
        sleeper.complete(asio::error::operation_aborted);
        lock.unlock();
        sleeper.membership.leave();
    }

    bool detach(Sleeper& sleeper) {
        std::shared_ptr<Sleeper> taken; // released after the lock
        const std::lock_guard lock{mutex_};
        if (sleeper.asleep) taken = take(sleeper);
        return taken != nullptr;
    }

    std::size_t size() const {
        const std::lock_guard lock{mutex_};
        return by_deadline_.size();
    }

    std::optional<TimePoint> next_wake() const {
        const std::lock_guard lock{mutex_};
        return by_deadline_.empty() ? std::nullopt : std::optional{by_deadline_.begin()->first};
    }

  private:
    void wake_until(TimePoint at, boost::system::error_code code) {
        std::unique_lock lock{mutex_};
        while (!by_deadline_.empty() && by_deadline_.begin()->first <= at) {
            const auto sleeper = take(*by_deadline_.begin()->second);
            sleeper->complete(code);
            lock.unlock();
            sleeper->membership.leave();
            lock.lock();
        }
    }

    std::shared_ptr<Sleeper> take(Sleeper& sleeper) {
        auto taken = std::move(sleeper.place->second);
        by_deadline_.erase(sleeper.place);
        sleeper.asleep = false;
        return taken;
    }

    mutable std::mutex mutex_;
    std::atomic<Duration::rep> now_;
    std::multimap<TimePoint, std::shared_ptr<Sleeper>> by_deadline_;
};

bool ManualTime::Sleeper::detach() noexcept {
    const auto sleepers = owner.lock();
    return sleepers && sleepers->detach(*this);
}

ManualTime::ManualTime(TimePoint start) : sleepers_(std::make_shared<Sleepers>(start)) {}

TimePoint ManualTime::now() const noexcept {
    return sleepers_->now();
}

void ManualTime::sleep_until(const asio::any_io_executor& executor, TimePoint at, SleepHandler handler) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    const auto sleeper = std::make_shared<Sleeper>(sleepers_, executor, std::move(handler));
    if (slot.is_connected()) {
        slot.assign([weak = std::weak_ptr{sleeper}](asio::cancellation_type) {
            const auto cancelled = weak.lock();
            const auto sleepers = cancelled ? cancelled->owner.lock() : nullptr;
            if (sleepers) sleepers->cancel(*cancelled);
        });
    }
    sleepers_->add(at, sleeper);
}

void ManualTime::advance(Duration by) {
    advance_to(saturating_add(now(), by));
}

void ManualTime::advance_to(TimePoint at) {
    sleepers_->advance_to(at);
}

void ManualTime::run_for(asio::io_context& context, Duration by) {
    const auto end = saturating_add(now(), by);
    for (;;) {
        context.restart();
        context.poll();
        const auto next = next_wake();
        if (!next || *next > end) break;
        advance_to(*next);
    }
    advance_to(end);
}

std::size_t ManualTime::sleepers() const {
    return sleepers_->size();
}

std::optional<TimePoint> ManualTime::next_wake() const {
    return sleepers_->next_wake();
}

} // namespace velostream::testing
