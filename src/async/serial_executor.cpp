// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/serial_executor.hpp"

#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <utility>

namespace velostream {

namespace {

// Calls `use` with what `executor` is, if it is a `Wrapper` of one of Asio's executors that calls are made on.
template <template <class> class Wrapper, class Use>
bool with_known(const asio::any_io_executor& executor, Use use) {
    const auto is = [&]<class Known>(const Known* known) {
        if (known) use(*known);
        return known != nullptr;
    };
    return is(executor.target<Wrapper<asio::io_context::executor_type>>()) ||
           is(executor.target<Wrapper<asio::thread_pool::executor_type>>()) ||
           is(executor.target<Wrapper<asio::any_io_executor>>());
}
template <class Executor>
using Itself = Executor;

// Asio has no public way to ask for it.
bool is_made_for_one_thread(asio::execution_context& context) noexcept {
    using Scheduler = asio::detail::io_context_impl;
    if constexpr (requires(Scheduler& scheduler) { scheduler.concurrency_hint(); })
        return asio::use_service<Scheduler>(static_cast<asio::io_context&>(context)).concurrency_hint() ==
               BOOST_ASIO_CONCURRENCY_HINT_1;
    else
        return false;
}

} // namespace

bool is_serial(const asio::any_io_executor& executor) noexcept {
    if (executor.target<asio::io_context::executor_type>()) return is_made_for_one_thread(executor.context());
    return with_known<asio::strand>(executor, [](const auto&) {});
}

bool runs_here(const asio::any_io_executor& executor) noexcept {
    bool here = false;
    const auto ask = [&here](const auto& known) {
        if constexpr (requires { known.running_in_this_thread(); }) here = known.running_in_this_thread();
    };
    if (!with_known<asio::strand>(executor, ask)) with_known<Itself>(executor, ask);
    return here;
}

// What an executor is decides what its strand weighs: one on the type of all executors is larger than what Asio keeps
// without memory of its own, and each copy of it in a coroutine takes some.
asio::any_io_executor serial_executor(const asio::any_io_executor& executor) {
    if (is_serial(executor)) return executor;
    asio::any_io_executor strand;
    const bool is_known =
        with_known<Itself>(executor, [&strand](const auto& known) { strand = asio::make_strand(known); });
    return is_known ? strand : asio::any_io_executor{asio::make_strand(executor)};
}

asio::any_io_executor below_strands(asio::any_io_executor executor) {
    bool was_strand = true;
    while (was_strand) {
        // Else it may be of a type that stands for the work that it counts as.
        executor = asio::prefer(executor, asio::execution::outstanding_work.untracked);
        asio::any_io_executor inner;
        was_strand =
            with_known<asio::strand>(executor, [&inner](const auto& strand) { inner = strand.get_inner_executor(); });
        if (was_strand) executor = std::move(inner);
    }
    return executor;
}

} // namespace velostream
