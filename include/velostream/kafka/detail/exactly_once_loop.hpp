// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "velostream/base/result.hpp"
#include "velostream/kafka/detail/record_loop.hpp"
#include "velostream/kafka/for_each_options.hpp"

namespace velostream::kafka {

class Transaction;

/// `(const ConsumedRecord&, Transaction&) -> awaitable<void>`, or of any `Result`, whose value nobody asks for.
template <class Handler>
concept TransactionalHandler =
    std::move_constructible<Handler> && std::invocable<Handler&, const ConsumedRecord&, Transaction&> &&
    detail::ends_record<std::invoke_result_t<Handler&, const ConsumedRecord&, Transaction&>>;

namespace detail {

class ExactlyOnceCore;
class ProducerCore;

ProducerCore& producer_of(ExactlyOnceCore& core) noexcept;

/// The place of the one `for_each` that a processor may be in.
class ExactlyOnceLoop {
  public:
    /// Throws `std::invalid_argument`.
    ExactlyOnceLoop(std::shared_ptr<ExactlyOnceCore> core, ForEachOptions options);
    ExactlyOnceLoop(ExactlyOnceLoop&&) noexcept = default;
    ~ExactlyOnceLoop();

    const std::shared_ptr<ExactlyOnceCore>& core() const noexcept { return core_; }

    /// Everything up to an open transaction and a consumer that reads on from what is committed.
    asio::awaitable<Result<void>> prepare();
    /// The records until the loop's end, or up to a transaction that failed.
    std::shared_ptr<RecordLoop> open_records();
    /// How the loop ends; nothing if it goes on with `prepare`.
    asio::awaitable<std::optional<Result<void>>> conclude(Result<void> ended);

  private:
    std::shared_ptr<ExactlyOnceCore> core_; // null once moved
    ForEachOptions options_;
};

/// Each worker has a transaction of its own, which notes what its handler writes.
template <class Handler, class SomeTransaction>
struct InTransaction {
    Handler* handler;
    SomeTransaction* transactions;

    auto operator()(const ConsumedRecord& record, const RecordLoop::Worker& worker) {
        return (*handler)(record, transactions[worker.index]);
    }
};
template <class Handler, class SomeTransaction>
inline constexpr bool is_told_its_worker<InTransaction<Handler, SomeTransaction>> = true;

template <class Handler, class SomeTransaction = Transaction>
asio::awaitable<Result<void>> run_exactly_once(ExactlyOnceLoop loop, Handler handler) {
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false); // a loop that is cancelled has an end, too
    std::vector<SomeTransaction> transactions;
    std::optional<Result<void>> result;
    while (!result) {
        auto preparing = loop.prepare();
        auto ready = co_await std::move(preparing);
        if (!ready) {
            result = std::move(ready);
            break;
        }
        auto records = loop.open_records();
        transactions.clear();
        transactions.reserve(records->workers().size());
        for (const auto& worker : records->workers()) transactions.emplace_back(loop.core(), worker->has_written);
        const InTransaction<Handler, SomeTransaction> each{&handler, transactions.data()};
        auto running = run_record_loop(std::move(records), each);
        auto ended = co_await std::move(running);
        auto concluding = loop.conclude(std::move(ended));
        result = co_await std::move(concluding);
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
    co_return *result;
}

} // namespace detail

} // namespace velostream::kafka
