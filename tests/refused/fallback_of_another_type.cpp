// SPDX-License-Identifier: Apache-2.0
// Refused: the function of a fallback must return what the call returns
#include <string>

#include "velostream/pipeline.hpp"

namespace velostream {

asio::awaitable<Result<int>> text_in_place_of_a_number() {
#ifdef VELOSTREAM_REFUSED
    Fallback fallback{{ErrorType::network}, [](const Error& error) { return error.message(); }};
#else
    Fallback fallback{{ErrorType::network}, [](const Error& error) { return error.code().value(); }};
#endif
    const Pipeline guarded{fallback};
    auto operation = []() -> asio::awaitable<int> { co_return 7; };
    auto call = guarded.execute(operation);
    co_return co_await std::move(call);
}

} // namespace velostream
