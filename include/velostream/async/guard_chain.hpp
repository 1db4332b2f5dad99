// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "velostream/async/policy.hpp"

namespace velostream::detail {

// What became of a try on its way in.
enum class TryEntry : std::uint8_t { proceeds, waits, refused, answered };

// What ended a try before it began, with the failure of the last try that did begin inside. That is `last`, or inside
// of it where it was ended in the same way.
Error with_last_failure(Error stopped, const Error& last, bool was_stopped) noexcept;

// The guards of one call, outermost first.
template <class... Policies>
class GuardChain {
  public:
    static constexpr std::size_t size = sizeof...(Policies);
    static constexpr bool may_wait = (WaitingGuard<typename Policies::Guard> || ...);
    template <class Success>
    static constexpr bool may_answer = (AnsweringGuard<typename Policies::Guard, Success> || ...);
    template <class Success>
    static constexpr bool may_recover = (RecoveringGuard<typename Policies::Guard, Success> || ...);

    explicit GuardChain(Policies&... policies) : guards_(policies...) {}

    // Asks the guards from `from` inwards. Sets `reached` to the first that does not let the try proceed, or else to
    // `size`. Of a refusal `error`, which is that of the try before, if there was one, becomes what it says.
    template <std::size_t Index = 0>
    TryEntry enter(CallContext& call, std::size_t from, std::size_t& reached, std::optional<Error>& error) {
        if constexpr (Index < size) {
            if (Index >= from) {
                reached = Index;
                const auto decision = std::get<Index>(guards_).before(call);
                if (!decision.proceeds()) [[unlikely]]
                    return stop(decision, error);
            }
            return enter<Index + 1>(call, from, reached, error);
        } else {
            reached = size;
            return TryEntry::proceeds;
        }
    }
    // The same after guard `reached` has waited, with what it said then.
    TryEntry enter_after(const Decision& decision, CallContext& call, std::size_t& reached,
                         std::optional<Error>& error) {
        return decision.proceeds() ? enter(call, reached + 1, reached, error) : stop(decision, error);
    }

    // The wait that guard `index` asked for.
    template <std::size_t Index = 0>
    asio::awaitable<Decision> wait(CallContext& call, std::size_t index) {
        if constexpr (Index + 1 < size)
            if (index != Index) return wait<Index + 1>(call, index);
        auto& guard = std::get<Index>(guards_);
        if constexpr (WaitingGuard<std::remove_reference_t<decltype(guard)>>)
            return guard.wait(call);
        else
            std::terminate(); // only a guard with a `wait` asks for one: a mistake in a policy
    }

    // What guard `index` has in place of the try.
    template <class Success, std::size_t Index = 0>
    Success answer(CallContext& call, std::size_t index) {
        if constexpr (Index + 1 < size)
            if (index != Index) return answer<Success, Index + 1>(call, index);
        auto& guard = std::get<Index>(guards_);
        if constexpr (AnsweringGuard<std::remove_reference_t<decltype(guard)>, Success>)
            return guard.template answer<Success>(call);
        else
            std::terminate(); // only a guard with an `answer` answers: a mistake in a policy
    }

    // What guard `index` has in place of the failure.
    template <class Success, std::size_t Index = 0>
    asio::awaitable<Success> recover(CallContext& call, std::size_t index, const Error& error) {
        if constexpr (Index + 1 < size)
            if (index != Index) return recover<Success, Index + 1>(call, index, error);
        auto& guard = std::get<Index>(guards_);
        if constexpr (RecoveringGuard<std::remove_reference_t<decltype(guard)>, Success>)
            return guard.template recover<Success>(call, error);
        else
            std::terminate(); // only a guard with a `recover` recovers: a mistake in a policy
    }

    // Tells the guards before `from`, innermost first.
    template <std::size_t Left = size>
    void leave_with_success(CallContext& call, std::size_t from = size) noexcept {
        if constexpr (Left > 0) {
            if (Left <= from) std::get<Left - 1>(guards_).after_success(call);
            leave_with_success<Left - 1>(call, from);
        }
    }

    // Tells the guards before `from`, innermost first, until one does not pass the failure on. Returns that one and
    // sets `verdict`, or 0 when all were told.
    template <std::size_t Left = size>
    std::size_t leave_with_failure(CallContext& call, std::size_t from, Error& error, Verdict& verdict) {
        if constexpr (Left == 0) {
            verdict = Verdict::pass_on();
            return 0;
        } else {
            if (Left <= from) {
                verdict = std::get<Left - 1>(guards_).after_failure(call, error);
                if (!verdict.passes_on()) return Left - 1;
            }
            return leave_with_failure<Left - 1>(call, from, error, verdict);
        }
    }

    // A try has failed, after it had `reached` a guard, or `size`.
    void note_failure(std::size_t reached) noexcept { was_stopped_ = reached != size; }
    // What a guard said or threw in place of a try, after a try with `last`.
    Error stopped_by(Error error, const std::optional<Error>& last) const noexcept {
        return last ? with_last_failure(std::move(error), *last, was_stopped_) : error;
    }

  private:
    TryEntry stop(const Decision& decision, std::optional<Error>& error) const noexcept {
        if (!decision.refuses()) return decision.waits() ? TryEntry::waits : TryEntry::answered;
        error = stopped_by(decision.error(), error);
        return TryEntry::refused;
    }

    std::tuple<typename Policies::Guard...> guards_;
    bool was_stopped_ = false; // the last try that failed, by a guard
};

} // namespace velostream::detail
