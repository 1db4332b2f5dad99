// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <type_traits>
#include <utility>
#include <vector>

#include "velostream/async/guarded_call.hpp"

namespace velostream {

namespace detail {

std::uint32_t named_types(const std::vector<ErrorType>& types); // one bit for each

// What a function returned in place of a `Success`; nothing stands for a `Result<void>`.
template <class Success, class Returned>
inline constexpr bool answers = std::is_constructible_v<Success, Returned>;
template <class Success>
inline constexpr bool answers<Success, void> = std::is_void_v<typename Success::value_type>;
template <class Success, class Returned>
inline constexpr bool answers<Success, asio::awaitable<Returned>> = answers<Success, Returned>;

} // namespace detail

/// What a fallback did so far.
struct FallbackStats {
    std::uint64_t used = 0;   ///< failed calls for which it was asked
    std::uint64_t failed = 0; ///< and for which it had nothing either
};

/// Has something else where a call fails with an error of certain types: a cached value, another service.
///
/// ```cpp
/// Fallback stale{{ErrorType::network, ErrorType::timeout}, [&](const Error&) { return cache.last_price(); }};
/// Pipeline guarded{stale, retry, breaker};
/// ```
///
/// `function(error)` returns the value of the call, a `Result` of it, or an `awaitable` of either. What it fails with
/// or throws takes the place of the error. Policies further out see what it returned; policies further in were told of
/// the failure. Errors of types that are not named pass. The deadline of the call, or of a `Timeout` further out, also
/// cancels the coroutine of `function`; one that has something without waiting is heard even after it.
///
/// Errors:       the constructor throws `std::invalid_argument` if no type is named.
/// Threads:      safe if `function` is: calls of several threads call it.
/// Cancellation: all kinds go to the coroutine of `function`, and `terminal` at the deadline. A call whose caller has
///               cancelled is not recovered, whatever types are named.
/// Lifetime:     must outlive the calls that it guards.
template <class Function>
class Fallback {
    static_assert(std::is_invocable_v<Function&, const Error&>, "the function of a fallback takes a const Error&");

  public:
    Fallback(const std::vector<ErrorType>& types, Function function)
        : types_(detail::named_types(types)), function_(std::move(function)) {}
    Fallback(const Fallback&) = delete;
    Fallback& operator=(const Fallback&) = delete;

    FallbackStats get_stats() const noexcept {
        return {used_.load(std::memory_order_relaxed), failed_.load(std::memory_order_relaxed)};
    }

    /// The fallback's part in one call.
    class Guard {
      public:
        explicit Guard(Fallback& fallback) noexcept : fallback_(fallback) {}

        Decision before(CallContext&) noexcept { return Decision::proceed(); }
        void after_success(CallContext&) noexcept {}
        Verdict after_failure(CallContext&, const Error& error) noexcept {
            return fallback_.names(error.type()) ? Verdict::recover() : Verdict::pass_on();
        }
        template <class Success>
        asio::awaitable<Success> recover(CallContext&, const Error& error) {
            return fallback_.template recover<Success>(error);
        }

      private:
        Fallback& fallback_;
    };

  private:
    bool names(ErrorType type) const noexcept { return (types_ >> static_cast<unsigned>(type) & 1) != 0; }

    // relaxed: counts only.
    template <class Success>
    asio::awaitable<Success> recover(Error error) {
        using Returned = std::invoke_result_t<Function&, const Error&>;
        static_assert(detail::answers<Success, Returned>,
                      "the function of a fallback must return what the call returns");
        used_.fetch_add(1, std::memory_order_relaxed);
        Success recovered = Error{};
        try {
            if constexpr (is_awaitable<Returned>) {
                auto running = function_(std::as_const(error));
                if constexpr (std::is_void_v<typename Returned::value_type>) {
                    co_await std::move(running);
                    recovered = Success{};
                } else {
                    recovered = Success(co_await std::move(running));
                }
            } else if constexpr (std::is_void_v<Returned>) {
                function_(std::as_const(error));
                recovered = Success{};
            } else {
                recovered = Success(function_(std::as_const(error)));
            }
        } catch (...) {
            recovered = Error::from_exception(std::current_exception());
        }
        if (recovered.has_error()) failed_.fetch_add(1, std::memory_order_relaxed);
        co_return std::move(recovered);
    }

    const std::uint32_t types_; // one bit for each ErrorType
    Function function_;
    std::atomic<std::uint64_t> used_{0}, failed_{0};
};

} // namespace velostream
