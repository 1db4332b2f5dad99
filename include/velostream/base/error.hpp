// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/assert/source_location.hpp>
#include <boost/system/error_code.hpp>
#include <concepts>
#include <cstdint>
#include <exception>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "velostream/base/errc.hpp"
#include "velostream/base/error_type.hpp"
#include "velostream/base/stack_trace.hpp"
#include "velostream/base/units.hpp"

namespace velostream {

template <class Enum>
concept ErrorEnum =
    boost::system::is_error_code_enum<Enum>::value || boost::system::is_error_condition_enum<Enum>::value;

/// Why something failed: a code to decide by, and what people want to read beside it.
///
/// Copies are cheap: the texts are shared, and a refusal such as an open circuit allocates nothing. Compare with codes
/// and conditions: `error == Errc::circuit_open`, `error == ErrorType::network`,
/// `error == CircuitBreakerError::open`.
///
/// Threads: an `Error` is a value; copies in different threads are independent.
class Error {
  public:
    /// No error: the code of success. What `result.error()` answers for a value.
    Error() noexcept = default;
    explicit(false) Error(Errc code) noexcept : code_(make_error_code(code)) {}
    explicit(false) Error(const boost::system::error_code& code) noexcept : code_(code) {}
    explicit(false) Error(const std::error_code& code) noexcept;
    /// Of any library's own enumeration of codes, such as `asio::error::eof`.
    template <class Enum>
        requires boost::system::is_error_code_enum<Enum>::value
    explicit(false) Error(Enum code) noexcept : code_(code) {}
    Error(const boost::system::error_code& code, std::string detail) : code_(code) { add_detail(std::move(detail)); }
    Error(Errc code, std::string detail) : Error(make_error_code(code), std::move(detail)) {}

    /// The error of a thrown exception: the one that it carries if it is one of this library's, the code of a
    /// `system_error` of Boost or std, `std::errc::not_enough_memory` for a `std::bad_alloc`, else
    /// `Errc::operation_failed`. The exception stays the cause, except where memory is short, and of one that carries
    /// an error only where another is nested in it. A null pointer gives `operation_failed`. Where it was thrown stays
    /// known if the program traces throws (base/trace_throws.hpp).
    static Error from_exception(std::exception_ptr exception) noexcept;

    const boost::system::error_code& code() const noexcept { return code_; }

    /// The type of the code; `retries_exhausted` answers as its last error.
    ErrorType type() const noexcept;

    /// Names and numbers for people; empty when there are none.
    std::string_view detail() const noexcept { return info_ ? std::string_view{info_->detail} : std::string_view{}; }

    /// How many calls were made; 0 where nothing counted them.
    std::uint32_t attempts() const noexcept { return attempts_; }

    /// How long the calls took, with the waits between them, where somebody measured it: from when the first of them
    /// began to when the last one had failed. A retry executor reads the coarse clock at the beginning unless its tries
    /// have timeouts: then this may be more than it was, by what that clock was behind, 20 ms as a rule at most; by a
    /// `ManualTime` it is exact.
    std::optional<Duration> elapsed() const noexcept {
        if (elapsed_ == no_duration) return std::nullopt;
        return elapsed_ < Duration::zero() ? -elapsed_ : elapsed_;
    }
    /// Whether they took even longer than `elapsed()`: a retry executor that had no need of the clock when its first
    /// try began counts from that one's failure.
    bool elapsed_longer() const noexcept { return elapsed_ < Duration::zero() && elapsed_ != no_duration; }

    /// How long to wait before another try makes sense, if somebody knows.
    std::optional<Duration> retry_after() const noexcept {
        return retry_after_ == no_duration ? std::nullopt : std::optional{retry_after_};
    }

    /// Which limit allowed no further try, where the error itself would have been tried again: `budget_exhausted`,
    /// `memory_limit_exceeded` (no room to wait for it) or `deadline_exceeded` (it would have come too late).
    std::optional<Errc> retry_refused_by() const noexcept {
        return retry_refused_by_ == Errc{} ? std::nullopt : std::optional{retry_refused_by_};
    }

    /// The exception that was thrown, if one was; `result.value()` throws it again, also as that of the last try where
    /// retries were exhausted.
    std::exception_ptr cause() const noexcept { return info_ ? info_->cause : nullptr; }

    /// Where that exception was thrown, if the program traces throws (base/trace_throws.hpp); else empty. Of exhausted
    /// retries, that of the last try.
    StackTrace thrown_at() const noexcept;

    /// The error behind this one, such as the last error of exhausted retries; null if none.
    const Error* inner() const noexcept { return info_ ? info_->inner.get() : nullptr; }

    /// True if this error, or one behind it, is of the type `outcome_unknown`: what was asked for may have happened.
    bool has_unknown_outcome() const noexcept;

    /// True if this record is bad whoever handles it (`bad_request`, `unknown`, a refused new group, marked by the
    /// user); false if a dependency or a limit is to blame, and the record should be held and tried again.
    /// `retries_exhausted` answers as its last error.
    bool blames_record() const noexcept;

    /// True if waiting can cure it, so that a record which it does not blame is held and tried again: types `network`,
    /// `timeout`, `service_unavailable` and `resource_exhausted`. Credentials, rights, cancellation and what is fatal
    /// do not pass. Of an unknown outcome, and of a timeout with one behind it, it is false, since another try may do
    /// the same twice. `retries_exhausted` answers as its last error.
    bool passes_with_time() const noexcept;

    /// The same for who bears repetitions, such as one who recognises them: another try of what may have happened harms
    /// nobody. So an unknown outcome passes too, and a timeout with one behind it, unless it blames the record.
    bool passes_with_repetition() const noexcept;

    /// `code().message()`, the detail, the error behind it, the time that the calls took and what refused another try,
    /// as one line: `retries exhausted (connection refused); 4 tries in 4.7 s`.
    std::string message() const;

    Error with_detail(std::string detail) const&;
    Error with_cause(std::exception_ptr cause) const;
    Error with_thrown_at(StackTrace trace) const;
    Error with_inner(Error inner) const;
    /// Overrules `blames_record()`; what blames the record does not pass with time.
    Error blaming_record(bool blames) const;
    Error with_attempts(std::uint32_t attempts) const& noexcept { return Error{*this}.with_attempts(attempts); }
    Error with_attempts(std::uint32_t attempts) && noexcept {
        attempts_ = attempts;
        return std::move(*this);
    }
    Error with_elapsed(std::optional<Duration> time) const& noexcept { return Error{*this}.with_elapsed(time); }
    Error with_elapsed(std::optional<Duration> time) && noexcept {
        elapsed_ = time.value_or(no_duration);
        return std::move(*this);
    }
    /// `time` is above 0.
    Error with_elapsed_longer_than(Duration time) && noexcept {
        elapsed_ = -time;
        return std::move(*this);
    }
    Error with_retry_after(Duration wait) const& noexcept { return Error{*this}.with_retry_after(wait); }
    Error with_retry_after(Duration wait) && noexcept {
        retry_after_ = wait;
        return std::move(*this);
    }
    Error with_retry_refused_by(std::optional<Errc> limit) const& noexcept {
        return Error{*this}.with_retry_refused_by(limit);
    }
    Error with_retry_refused_by(std::optional<Errc> limit) && noexcept {
        retry_refused_by_ = limit.value_or(Errc{});
        return std::move(*this);
    }

    /// Texts that a component made once and shares between all its errors, so that a refusal allocates nothing.
    class SharedText;
    Error(Errc code, const SharedText& text) noexcept;

    friend bool operator==(const Error& error, const boost::system::error_code& code) noexcept {
        return error.code_ == code;
    }
    friend bool operator==(const Error& error, const boost::system::error_condition& condition) noexcept {
        return error.code_ == condition;
    }
    friend bool operator==(const Error& error, ErrorType type) noexcept { return error.type() == type; }
    template <ErrorEnum Enum>
        requires(!std::same_as<Enum, ErrorType>)
    friend bool operator==(const Error& error, Enum value) noexcept {
        return error.code_ == value;
    }

  private:
    struct Info {
        std::string detail;
        std::exception_ptr cause;
        StackTrace thrown_at;
        std::shared_ptr<const Error> inner;
        std::optional<bool> blames_record;
    };
    static constexpr Duration no_duration = Duration::min();

    static Error from_thrown(const std::exception_ptr& exception) noexcept;
    void add_detail(std::string detail);
    template <class Change>
    Error changed(Change change) const;

    boost::system::error_code code_;
    std::shared_ptr<const Info> info_; // never written once shared
    Duration retry_after_ = no_duration;
    Duration elapsed_ = no_duration; // negative: longer than that
    std::uint32_t attempts_ = 0;
    Errc retry_refused_by_{}; // no code is 0
};

class Error::SharedText {
  public:
    explicit SharedText(std::string detail);

  private:
    friend class Error;
    std::shared_ptr<const Info> info_;
};

inline Error::Error(Errc code, const SharedText& text) noexcept : code_(make_error_code(code)), info_(text.info_) {}

std::ostream& operator<<(std::ostream& out, const Error& error);
std::ostream& operator<<(std::ostream& out, ErrorType type);

/// An exception of this library's, beside what else it is: it says which error it stands for.
class CarriesError {
  public:
    virtual const Error& error() const noexcept = 0;

  protected:
    ~CarriesError() = default;
};

/// What `.value()` throws for an error that began without an exception.
class ErrorException : public std::system_error, public CarriesError {
  public:
    explicit ErrorException(Error error);
    const Error& error() const noexcept override { return error_; }

  private:
    Error error_;
};

/// Called by `Result<T>::value()`: throws the cause again, of exhausted retries that of the last try, or an
/// `ErrorException`.
[[noreturn]] void throw_exception_from_error(const Error& error, const boost::source_location& where);

} // namespace velostream
