// SPDX-License-Identifier: Apache-2.0
// Refused: a hedge makes a call several times at once: mark the operation as idempotent(operation), if it is
#include "velostream/pipeline.hpp"

namespace velostream {

asio::awaitable<Result<int>> call_that_may_not_be_made_twice() {
    Hedge hedge{HedgeConfig{}};
    const Pipeline guarded{hedge};
    auto operation = []() -> asio::awaitable<int> { co_return 7; };
#ifdef VELOSTREAM_REFUSED
    auto call = guarded.execute(operation);
#else
    auto call = guarded.execute(idempotent(operation));
#endif
    co_return co_await std::move(call);
}

} // namespace velostream
