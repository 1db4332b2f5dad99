// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace velostream::sqlite {

/// What a value is. SQLite has no others: a bool is an integer.
enum class ValueType : std::uint8_t { null, integer, real, text, blob };

/// The word used in messages, for example `integer`.
std::string_view to_string(ValueType type) noexcept;

/// Integers that all fit into SQLite's, which has 64 bits and a sign. Characters are none.
template <class T>
concept Integer =
    std::integral<T> && (std::signed_integral<T> || sizeof(T) < sizeof(std::int64_t)) && !std::same_as<T, char> &&
    !std::same_as<T, wchar_t> && !std::same_as<T, char8_t> && !std::same_as<T, char16_t> && !std::same_as<T, char32_t>;

using Blob = std::vector<std::byte>;

/// One of SQLite's values, such as a parameter of a statement: null, an integer, a floating-point number, text or
/// bytes, which it owns. Null is not empty: an empty text or blob stays one.
class Value {
  public:
    Value() noexcept = default;
    explicit(false) Value(std::nullptr_t) noexcept {}
    explicit(false) Value(std::nullopt_t) noexcept {}
    template <Integer T>
    explicit(false) Value(T value) noexcept : value_(static_cast<std::int64_t>(value)) {}
    template <std::floating_point T>
    explicit(false) Value(T value) noexcept : value_(static_cast<double>(value)) {}
    explicit(false) Value(std::string text) noexcept : value_(std::move(text)) {}
    explicit(false) Value(std::string_view text) : value_(std::string{text}) {}
    /// A null pointer is null.
    explicit(false) Value(const char* text) {
        if (text) value_ = std::string{text};
    }
    explicit(false) Value(Blob bytes) noexcept : value_(std::move(bytes)) {}
    explicit(false) Value(std::span<const std::byte> bytes) : value_(Blob(bytes.begin(), bytes.end())) {}
    template <class T>
        requires std::constructible_from<Value, const T&>
    explicit(false) Value(const std::optional<T>& value) {
        if (value) *this = Value{*value};
    }

    ValueType type() const noexcept { return static_cast<ValueType>(value_.index()); }

    using Variant = std::variant<std::monostate, std::int64_t, double, std::string, Blob>;
    /// In the order of `ValueType`.
    const Variant& variant() const noexcept { return value_; }

    friend bool operator==(const Value&, const Value&) = default;

  private:
    Variant value_;
};

} // namespace velostream::sqlite
