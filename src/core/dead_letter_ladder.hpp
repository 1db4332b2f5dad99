// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "core/dead_letter_writer.hpp"
#include "velostream/core/dead_letter_envelope.hpp"

namespace velostream::detail {

/// As many whole lines from the beginning of `text` as `limit` bytes hold; all of it if it is no longer.
std::string_view cut_lines(std::string_view text, std::size_t limit) noexcept;

/// Takes from a plan, rung by rung, until its letter is not larger than the limit.
class DeadLetterLadder {
  public:
    DeadLetterLadder(LetterPlan& plan, std::size_t limit) noexcept : plan_(plan), limit_(limit) {}

    /// The first letter that fits, or the smallest. `letter` is the plan's and does not fit.
    DeadLetter fitted(DeadLetter letter);

  private:
    void shrink_stack_trace();
    void shrink_chain();
    void shrink_message();
    void leave_out_streams();
    void leave_out_spring();
    void leave_out_context();
    void leave_out_error();

    /// Writes the letter anew; false if it is still too large.
    bool fits();
    /// How long a text may be that stands in `copies` headers and has `length` bytes in the letter as it is now.
    std::size_t room_for(std::size_t copies, std::size_t length) const noexcept;
    std::size_t families() const noexcept;
    void leave_out_family(std::string_view name, bool& family);

    LetterPlan& plan_;
    std::size_t limit_;
    std::optional<DeadLetter> letter_;
};

} // namespace velostream::detail
