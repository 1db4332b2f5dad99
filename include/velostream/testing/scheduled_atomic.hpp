// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <type_traits>

namespace velostream::testing {

namespace detail {

enum class AtomicAccess : std::uint8_t { load, store, exchange, add, bit_or, bit_and, compare_exchange };

struct AtomicRequest {
    AtomicAccess access;
    std::memory_order order;
    std::memory_order failure_order = std::memory_order_relaxed;
    std::uint64_t operand = 0;
    std::uint64_t expected = 0;
    std::uint64_t mask = ~std::uint64_t{0}; ///< the bits that the type has
};

struct AtomicAnswer {
    std::uint64_t value; ///< before the access
    bool stored;
};

/// The memory of one atomic object. Where no explored thread runs, it is a plain value.
class ScheduledLocation {
  public:
    explicit ScheduledLocation(std::uint64_t value);
    ScheduledLocation(const ScheduledLocation&) = delete;
    ScheduledLocation& operator=(const ScheduledLocation&) = delete;

    AtomicAnswer access(const AtomicRequest& request);

    std::uint64_t latest;
    const std::size_t number; ///< in order of creation within the scenario
};

} // namespace detail

/// Stands in for `std::atomic` in what `explore` runs: every access is a step. A compare-and-swap never fails
/// spuriously. For types of at most eight bytes, with the members that `std::atomic` has for them all.
template <class T>
class ScheduledAtomic {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
    static_assert(std::is_pointer_v<T> || std::is_integral_v<T> || std::is_enum_v<T>);

  public:
    ScheduledAtomic() : ScheduledAtomic(T{}) {}
    explicit(false) ScheduledAtomic(T value) : location_(bits(value)) {}

    T load(std::memory_order order = std::memory_order_seq_cst) const {
        return value(run({.access = Access::load, .order = order}).value);
    }
    void store(T desired, std::memory_order order = std::memory_order_seq_cst) {
        run({.access = Access::store, .order = order, .operand = bits(desired)});
    }
    T exchange(T desired, std::memory_order order = std::memory_order_seq_cst) {
        return value(run({.access = Access::exchange, .order = order, .operand = bits(desired)}).value);
    }
    T fetch_add(T operand, std::memory_order order = std::memory_order_seq_cst) {
        return value(run({.access = Access::add, .order = order, .operand = bits(operand)}).value);
    }
    T fetch_sub(T operand, std::memory_order order = std::memory_order_seq_cst) {
        return value(run({.access = Access::add, .order = order, .operand = ~bits(operand) + 1}).value);
    }
    T fetch_or(T operand, std::memory_order order = std::memory_order_seq_cst) {
        return value(run({.access = Access::bit_or, .order = order, .operand = bits(operand)}).value);
    }
    T fetch_and(T operand, std::memory_order order = std::memory_order_seq_cst) {
        return value(run({.access = Access::bit_and, .order = order, .operand = bits(operand)}).value);
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure) {
        const auto answer = run({.access = Access::compare_exchange,
                                 .order = success,
                                 .failure_order = failure,
                                 .operand = bits(desired),
                                 .expected = bits(expected)});
        if (!answer.stored) expected = value(answer.value);
        return answer.stored;
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order order = std::memory_order_seq_cst) {
        const auto failure = order == std::memory_order_acq_rel   ? std::memory_order_acquire
                             : order == std::memory_order_release ? std::memory_order_relaxed
                                                                  : order;
        return compare_exchange_strong(expected, desired, order, failure);
    }
    template <class... Orders>
    bool compare_exchange_weak(T& expected, T desired, Orders... orders) {
        return compare_exchange_strong(expected, desired, orders...);
    }

  private:
    using Access = detail::AtomicAccess;
    static constexpr std::uint64_t mask = ~std::uint64_t{0} >> (64 - 8 * sizeof(T));

    static std::uint64_t bits(T value) noexcept {
        if constexpr (std::is_pointer_v<T>)
            return reinterpret_cast<std::uintptr_t>(value);
        else
            return static_cast<std::uint64_t>(value) & mask;
    }
    static T value(std::uint64_t bits) noexcept {
        if constexpr (std::is_pointer_v<T>)
            return reinterpret_cast<T>(static_cast<std::uintptr_t>(bits));
        else
            return static_cast<T>(bits);
    }
    detail::AtomicAnswer run(detail::AtomicRequest request) const {
        request.mask = mask;
        return location_.access(request);
    }

    mutable detail::ScheduledLocation location_;
};

/// Tells the exploration what a function's caller can know when it returns: the values last given to `returns`, and
/// nothing else of what atomics answered inside. Ways through the function that return the same then lead to one state,
/// which is what makes threads of a hundred steps explorable.
///
/// It must tell everything: a function that changes anything but atomics where its caller can see it, or that goes on
/// with something it does not tell, makes the exploration miss schedules.
class ForgottenAnswers {
  public:
    ForgottenAnswers() noexcept;
    ForgottenAnswers(const ForgottenAnswers&) = delete;
    ForgottenAnswers& operator=(const ForgottenAnswers&) = delete;
    ~ForgottenAnswers();

    /// A value, and where in the code it is told.
    struct Told {
        template <class T>
        explicit(false) Told(T told, std::source_location place = std::source_location::current()) noexcept
            : value(word(told)), line(place.line()), column(place.column()) {}
        std::uint64_t value;
        std::uint64_t line, column;
    };
    /// Before the function returns; also at the head of a loop, with all that the rounds to come depend on.
    template <class... Values>
    void returns(Told first, Values... others) noexcept {
        forget();
        for (const auto value : {first.line, first.column, first.value, word(others)...}) remember(value);
    }

  private:
    template <class T>
    static std::uint64_t word(T value) noexcept {
        if constexpr (std::is_pointer_v<T>)
            return reinterpret_cast<std::uintptr_t>(value);
        else if constexpr (std::is_class_v<T>)
            return explored_hash(value); // found beside its type
        else
            return static_cast<std::uint64_t>(value);
    }
    void forget() noexcept;
    void remember(std::uint64_t value) noexcept;

    std::uint64_t before_, after_;
};

} // namespace velostream::testing
