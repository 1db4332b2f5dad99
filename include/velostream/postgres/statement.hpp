// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace velostream::postgres {

/// Values for `$1`, `$2`, … in the form in which they are sent: copies, so that what they were made of may go.
///
/// The server decides of what type each parameter is, by the place where it stands: `where id = $1` takes any whole
/// number that fits the column. Where the place does not tell, as in `select $1`, name the type: `select $1::bigint`.
///
/// | C++ | for |
/// |---|---|
/// | `bool` | `boolean` |
/// | integers of up to 64 bits with a sign, `std::uint16_t`, `std::uint32_t` | any number |
/// | `float`, `double` | any number; the shortest text that gives the same value again; infinite ones and NaN too |
/// | `std::string_view` and what converts to it | any type whose text it is: `text`, `numeric`, `uuid`, `jsonb`, … |
/// | `std::span<const std::byte>` | `bytea`; of another type its binary form |
/// | `std::chrono::system_clock::time_point` | `timestamptz`, or `timestamp` in UTC; to the microsecond, cut off |
/// | `std::nullopt` | null, which an empty text or span is not |
/// | `std::optional` of these | null where it is empty |
///
/// A text with a NUL in it, or a value of more than 1 GiB, can be in no column: the statement fails with
/// `PostgresErrc::invalid_parameter`, before anything is sent. So it does with more than 65 535 parameters.
class Parameters {
  public:
    Parameters() = default;
    template <class... Values>
        requires(sizeof...(Values) > 0)
    explicit Parameters(const Values&... values) {
        places_.reserve(sizeof...(Values));
        (add(values), ...);
    }

    void add(std::nullopt_t);
    void add(std::string_view text);
    void add(const char* text) { add(std::string_view{text}); }
    void add(std::span<const std::byte> bytes);
    void add(std::chrono::system_clock::time_point time);
    void add(double value);
    void add(float value);
    void add(std::same_as<bool> auto value) { add(std::string_view{value ? "t" : "f"}); }
    template <std::integral Integer>
        requires(!std::same_as<Integer, bool> && !std::same_as<Integer, char> &&
                 (std::signed_integral<Integer> || sizeof(Integer) < sizeof(std::int64_t)))
    void add(Integer value) {
        add_integer(value);
    }
    template <class Value>
    void add(const std::optional<Value>& value) {
        if (value)
            add(*value);
        else
            add(std::nullopt);
    }
    template <std::convertible_to<std::string_view> Text>
        requires(!std::convertible_to<const Text&, const char*>)
    void add(const Text& text) {
        add(static_cast<std::string_view>(text));
    }

    std::size_t size() const noexcept { return places_.size(); }

    /// How the one at `index`, below `size()`, is sent: null, or bytes with a NUL behind them that does not count.
    struct Sent {
        const char* bytes; ///< nullptr: null
        std::size_t size;
        bool is_binary;
    };
    Sent operator[](std::size_t index) const noexcept;

    /// The first that cannot be sent, from 0, if there is one.
    std::optional<std::size_t> invalid() const noexcept { return invalid_; }

  private:
    struct Place {
        std::size_t at;
        std::size_t size;
        bool is_null;
        bool is_binary;
    };

    void add_integer(std::int64_t value);
    void append(std::string_view bytes, bool is_binary);

    std::string bytes_;
    std::vector<Place> places_;
    std::optional<std::size_t> invalid_;
};

/// A statement of SQL with the values of its parameters.
class Statement {
  public:
    template <class... Values>
    explicit Statement(std::string sql, const Values&... values) : sql_(std::move(sql)), parameters_(values...) {}
    Statement(std::string sql, Parameters parameters) : sql_(std::move(sql)), parameters_(std::move(parameters)) {}

    const std::string& sql() const noexcept { return sql_; }
    const Parameters& parameters() const noexcept { return parameters_; }

  private:
    std::string sql_;
    Parameters parameters_;
};

} // namespace velostream::postgres
