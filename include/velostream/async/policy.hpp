// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <concepts>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "velostream/async/call_context.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/base/error.hpp"

namespace velostream {

// How to write a policy, that is, something that a `Pipeline` can put around a call.
//
// A policy is a long-lived object that many calls share. For each call it has a guard: a small object in the call's
// coroutine frame that is asked before each try and told about its result.
//
// ```cpp
// class OneAtATime {
//   public:
//     class Guard {
//       public:
//         explicit Guard(OneAtATime& policy) noexcept : policy_(policy) {}
//         ~Guard() { leave(); }                                       // the frame was destroyed: leave nothing behind
//         Decision before(CallContext&) {
//             if (policy_.busy_.exchange(true)) return Decision::refuse(Errc::bulkhead_full);
//             entered_ = true;
//             return Decision::proceed();
//         }
//         void after_success(CallContext&) noexcept { leave(); }
//         Verdict after_failure(CallContext&, Error&) noexcept { leave(); return Verdict::pass_on(); }
//       private:
//         void leave() noexcept { if (std::exchange(entered_, false)) policy_.busy_ = false; }
//         OneAtATime& policy_;
//         bool entered_ = false;
//     };
//   private:
//     std::atomic<bool> busy_ = false;
// };
// ```

/// What a guard says before a try.
class Decision {
  public:
    /// The try may go on to the next policy inwards.
    static Decision proceed() noexcept { return Decision{Kind::proceed}; }
    /// The try ends here with `error`, in a later try with the failure of the last one that began inside, unless it has
    /// something inside already; policies further in are not asked. This guard is not told about it.
    static Decision refuse(Error error) noexcept {
        Decision decision{Kind::refuse};
        decision.error_ = std::move(error);
        return decision;
    }
    /// The guard's `wait(CallContext&)` is to be awaited; it returns whether the try may go on.
    static Decision wait() noexcept { return Decision{Kind::wait}; }
    /// What the guard's `answer` returns takes the place of the try; policies further in and the operation are not
    /// asked. This guard is not told about it.
    static Decision answer() noexcept { return Decision{Kind::answer}; }

    bool proceeds() const noexcept { return kind_ == Kind::proceed; }
    bool refuses() const noexcept { return kind_ == Kind::refuse; }
    bool waits() const noexcept { return kind_ == Kind::wait; }
    bool answers() const noexcept { return kind_ == Kind::answer; }
    /// Only of a refusal.
    const Error& error() const noexcept { return *error_; }

  private:
    enum class Kind : std::uint8_t { proceed, refuse, wait, answer };
    explicit Decision(Kind kind) noexcept : kind_(kind) {}

    Kind kind_;
    std::optional<Error> error_;
};

/// What a guard makes of a failed try.
class Verdict {
  public:
    /// The failure goes on to the next policy outwards, with what the guard made of the error.
    static Verdict pass_on() noexcept { return Verdict{Kind::pass_on, {}}; }
    /// The call is tried again from this policy inwards, at `at`. The caller may cancel the wait; then this guard is
    /// not asked again, and the policies further out are told of the cancellation. If the deadline of the call comes
    /// before the try, `after_failure` is called once more with the same error; it cannot ask for another try then.
    static Verdict again_at(TimePoint at) noexcept { return Verdict{Kind::again, at}; }
    /// What the guard's `recover` returns takes the place of the failure, for the policies further out and the caller.
    static Verdict recover() noexcept { return Verdict{Kind::recover, {}}; }

    bool passes_on() const noexcept { return kind_ == Kind::pass_on; }
    bool recovers() const noexcept { return kind_ == Kind::recover; }
    bool tries_again() const noexcept { return kind_ == Kind::again; }
    /// Only of `again_at`.
    TimePoint again() const noexcept { return at_; }

  private:
    enum class Kind : std::uint8_t { pass_on, again, recover };
    Verdict(Kind kind, TimePoint at) noexcept : kind_(kind), at_(at) {}

    Kind kind_;
    TimePoint at_;
};

/// The part of a policy that belongs to one call. For every try that `before` let proceed, exactly one of these
/// follows: `after_success`, `after_failure` (and that once more if the other try it asked for would come too late), or
/// the guard's destruction. All run in the coroutine of the call, one at a time. `after_failure` may replace the error.
/// What `before` throws becomes the error of the try, before a later try with the error of the last one inside; what
/// `after_failure` throws ends the call; `after_success` must not throw.
template <class Guard>
concept PolicyGuard = requires(Guard& guard, CallContext& call, Error& error) {
    { guard.before(call) } -> std::same_as<Decision>;
    { guard.after_success(call) } -> std::same_as<void>;
    { guard.after_failure(call, error) } -> std::same_as<Verdict>;
};

/// A guard that may have to wait for its turn. `wait` is awaited after `before` answered `Decision::wait()`, bounds
/// itself by `call.deadline()`, and returns anything but `wait`.
template <class Guard>
concept WaitingGuard = PolicyGuard<Guard> && requires(Guard& guard, CallContext& call) {
    { guard.wait(call) } -> std::same_as<asio::awaitable<Decision>>;
};

/// A guard that may have the answer already, such as a cache: a `Success`, which is a `Result` of anything. `answer` is
/// called after `before` or `wait` said `Decision::answer()`. The policies further out are told of what it returns;
/// what it throws becomes the error of the try.
template <class Guard, class Success>
concept AnsweringGuard = PolicyGuard<Guard> && requires(Guard& guard, CallContext& call) {
    { guard.template answer<Success>(call) } -> std::same_as<Success>;
};

/// A guard that may have something in place of a failed call that should have come to a `Success`, a `Result` of
/// anything. `recover` is awaited after `after_failure` answered `Verdict::recover()`; it must not throw.
template <class Guard, class Success>
concept RecoveringGuard = PolicyGuard<Guard> && requires(Guard& guard, CallContext& call, const Error& error) {
    { guard.template recover<Success>(call, error) } -> std::same_as<asio::awaitable<Success>>;
};

/// Something that can be put around a call: see above. It must outlive every call that it guards, and be safe to use
/// from every thread that makes calls.
template <class Policy>
concept CallPolicy = PolicyGuard<typename std::remove_cvref_t<Policy>::Guard> &&
                     std::constructible_from<typename std::remove_cvref_t<Policy>::Guard, std::remove_cvref_t<Policy>&>;

/// A policy that tells the time; calls use the time of their outermost one.
template <class Policy>
concept TimedPolicy = CallPolicy<Policy> && requires(const Policy& policy) {
    requires TimeSource<std::remove_cvref_t<decltype(policy.time())>>;
};

} // namespace velostream
