// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/time_source.hpp"

#include <boost/asio/any_completion_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/consign.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "async/in_place.hpp"
#include "velostream/async/frame_memory.hpp"

namespace velostream {

namespace {

using PlainTimer = asio::basic_waitable_timer<asio::steady_timer::clock_type, asio::steady_timer::traits_type, InPlace>;

// One sleep after the other takes the same memory.
struct ToFrameMemory {
    template <class Timer>
    void operator()(Timer* timer) const noexcept {
        std::destroy_at(timer);
        detail::FrameMemory::deallocate(timer, sizeof(Timer));
    }
};
template <class Timer>
using TimerPointer = std::unique_ptr<Timer, ToFrameMemory>;

template <class Timer, class Executor>
TimerPointer<Timer> make_timer(const Executor& executor, TimePoint at) {
    auto* const memory = detail::FrameMemory::allocate(sizeof(Timer));
    try {
        return TimerPointer<Timer>{new (memory) Timer{executor, at}};
    } catch (...) {
        detail::FrameMemory::deallocate(memory, sizeof(Timer));
        throw;
    }
}

// Names no executor, so that its timer calls it in place.
struct Wake {
    using cancellation_slot_type = asio::cancellation_slot;

    cancellation_slot_type get_cancellation_slot() const noexcept {
        return asio::get_associated_cancellation_slot(handler);
    }
    void operator()(boost::system::error_code code) { std::move(handler)(code); }

    TimerPointer<PlainTimer> timer; // until the handler has returned: it may be about to be cancelled
    SleepHandler handler;
};

// The context if any thread that runs it will do for what runs on `executor`, else null.
template <class Any>
const asio::execution_context* whose_threads_all_do(const Any& executor) noexcept {
    const auto context_of = []<class Known>(const Known* known) -> const asio::execution_context* {
        return known ? &asio::query(*known, asio::execution::context) : nullptr;
    };
    const auto look = [&]<class Known>(std::type_identity<Known>) {
        using Tracked =
            decltype(asio::require(std::declval<const Known&>(), asio::execution::outstanding_work.tracked));
        const auto* found = context_of(executor.template target<Known>());
        return found ? found : context_of(executor.template target<Tracked>());
    };
    const auto* found = look(std::type_identity<asio::io_context::executor_type>{});
    return found ? found : look(std::type_identity<asio::thread_pool::executor_type>{});
}

bool may_end_in_place(const asio::any_io_executor& executor, const SleepHandler& handler) {
    const auto own = asio::get_associated_executor(handler, asio::any_completion_executor{InPlace{executor.context()}});
    if (!own) throw std::bad_alloc{}; // there is one, which takes memory to tell
    const auto* context = whose_threads_all_do(executor);
    return context && (own.target<InPlace>() || whose_threads_all_do(own) == context);
}

} // namespace

void SteadyTime::sleep_until(const asio::any_io_executor& executor, TimePoint at, SleepHandler handler) {
    if (may_end_in_place(executor, handler)) {
        auto timer = make_timer<PlainTimer>(InPlace{executor.context()}, at);
        auto& armed = *timer; // the handler owns the timer from here on
        armed.async_wait(Wake{std::move(timer), std::move(handler)});
    } else {
        auto timer = make_timer<asio::steady_timer>(executor, at);
        auto& armed = *timer;
        armed.async_wait(asio::consign(std::move(handler), std::move(timer)));
    }
}

} // namespace velostream
