// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include "velostream/base/error.hpp"
#include "velostream/base/units.hpp"

namespace velostream::kafka {

/// What the client library complained of last, and the errors of the sends that failed of it. A report says only that a
/// message timed out; why is told apart from it, by an event of the client.
class FailureCause {
  public:
    /// A send that failed.
    struct Send {
        std::string topic;
        TimePoint started;
    };

    /// The client complains. `code` is the library's. A certificate that cannot be verified is an authentication that
    /// failed, not a network that did.
    void note(int code, std::string text);
    /// A record was acknowledged: whatever it was, it is over.
    void note_success(TimePoint now) noexcept { over_at_ = std::min(over_at_, now); }

    /// Whether the client has complained since the last success.
    bool is_in_force() const noexcept { return code_ != 0 && over_at_ == TimePoint::max(); }
    /// The text of what is in force; empty if nothing is.
    std::string current() const { return is_in_force() ? text_ : std::string{}; }

    /// What is in force, as the error of whoever waits for the client: `Errc::broker_unreachable` if it cannot connect.
    std::optional<Error> error() const;

    /// No acknowledgment in time, and certainly not written: the cause itself, if one was in force while the send was
    /// in progress, otherwise `Errc::send_timeout`.
    Error not_written_in_time(const Send& send, TimePoint now) const;

    /// No acknowledgment in time, and perhaps written: `Errc::send_outcome_unknown`, with the cause inside.
    Error perhaps_written(const Send& send, TimePoint now) const;

    /// A report of failure other than a timeout. With `comes_again` it blames no record: it is not over yet.
    static Error refused(const Send& send, int code, bool is_certain, bool comes_again = false);

  private:
    std::optional<Error> of(const Send& send) const;
    Error as_error() const;

    int code_ = 0;
    std::string text_;
    TimePoint over_at_ = TimePoint::max();
};

} // namespace velostream::kafka
