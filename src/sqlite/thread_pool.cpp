// SPDX-License-Identifier: Apache-2.0
#include "thread_pool.hpp"

#include <algorithm>
#include <condition_variable>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "async/without_signals.hpp"
#include "velostream/async/time_source.hpp"

namespace velostream::sqlite {

struct ThreadPool::State {
    struct Parked {
        std::shared_ptr<Turn> turn;
        TimePoint since, until;
    };
    using Place = std::list<Parked>::iterator;

    explicit State(std::size_t threads_at_most) noexcept : most(threads_at_most) {}

    void work() noexcept;
    std::shared_ptr<Turn> locked_next();
    void locked_call(Place place) noexcept;

    const std::size_t most;
    std::mutex mutex; // guards what follows
    std::condition_variable news;
    std::list<std::shared_ptr<Turn>> ready;
    std::list<Parked> parked;
    std::size_t threads = 0, idle = 0;
    bool has_ended = false;
};

ThreadPool::ThreadPool(std::size_t threads, std::size_t max_pending_calls)
    : state_(std::make_shared<State>(threads)), max_pending_(max_pending_calls) {}

ThreadPool::~ThreadPool() {
    const std::scoped_lock lock{state_->mutex};
    state_->has_ended = true;
    state_->news.notify_all();
}

bool ThreadPool::try_enter() noexcept {
    if (pending_++ < max_pending_) return true;
    --pending_;
    return false;
}

bool ThreadPool::submit(std::shared_ptr<Turn> turn) {
    const std::scoped_lock lock{state_->mutex};
    state_->ready.push_back(std::move(turn));
    if (state_->ready.size() <= state_->idle || state_->threads == state_->most) {
        state_->news.notify_one();
        return true;
    }
    try {
        // Nobody waits for it: where it is idle at the end of the program it ends with that.
        const WithoutSignals for_the_thread;
        std::thread{[state = state_] { state->work(); }}.detach();
        ++state_->threads; // it waits for the mutex
        return true;
    } catch (const std::system_error&) {
        if (state_->threads > 0) return true;
        state_->ready.pop_back();
        return false;
    }
}

void ThreadPool::park(std::shared_ptr<Turn> turn, TimePoint since, TimePoint until) {
    const std::scoped_lock lock{state_->mutex};
    state_->parked.push_back({std::move(turn), since, until});
    state_->news.notify_one(); // who is idle does not know of it
}

void ThreadPool::call(const Turn& turn) noexcept {
    const std::scoped_lock lock{state_->mutex};
    const auto place = std::ranges::find(state_->parked, &turn, [](const auto& each) { return each.turn.get(); });
    if (place != state_->parked.end()) state_->locked_call(place);
}

void ThreadPool::call_longest() noexcept {
    const std::scoped_lock lock{state_->mutex};
    const auto place = std::ranges::min_element(state_->parked, {}, &State::Parked::since);
    if (place != state_->parked.end()) state_->locked_call(place);
}

void ThreadPool::State::locked_call(Place place) noexcept {
    place->until = TimePoint::min();
    news.notify_one();
}

/// Null if there is none yet.
std::shared_ptr<ThreadPool::Turn> ThreadPool::State::locked_next() {
    if (!parked.empty()) {
        const auto first = std::ranges::min_element(parked, {}, &Parked::until);
        // Those first that have been waiting for longer than anybody else.
        if (first->until == TimePoint::min() || first->until <= SteadyTime{}.now()) {
            auto turn = std::move(first->turn);
            parked.erase(first);
            return turn;
        }
    }
    if (ready.empty()) return nullptr;
    auto turn = std::move(ready.front());
    ready.pop_front();
    return turn;
}

void ThreadPool::State::work() noexcept {
    std::unique_lock lock{mutex};
    for (;;) {
        if (auto turn = locked_next()) {
            lock.unlock();
            turn->take_turn();
            turn.reset(); // it may end the pool
            lock.lock();
            continue;
        }
        if (has_ended) break; // and with it all who would ask
        ++idle;
        const auto first = std::ranges::min_element(parked, {}, &Parked::until);
        if (first == parked.end()) {
            news.wait(lock);
        } else {
            const TimePoint until =
                first->until; // of its own: wait_until() reads it when somebody may have taken that one
            news.wait_until(lock, until);
        }
        --idle;
    }
    --threads;
}

} // namespace velostream::sqlite
