// SPDX-License-Identifier: Apache-2.0
#include "core/dead_letter_ladder.hpp"

#include <array>
#include <optional>
#include <string>
#include <utility>

#include "core/error_description.hpp"
#include "core/utf8.hpp"

namespace velostream::detail {

namespace {

// Of a message, less than this says nothing.
constexpr std::size_t least_message = 16;

} // namespace

std::string_view cut_lines(std::string_view text, std::size_t limit) noexcept {
    if (text.size() <= limit) return text;
    const auto end = text.rfind('\n', limit);
    return end == std::string_view::npos ? std::string_view{} : text.substr(0, end);
}

DeadLetter DeadLetterLadder::fitted(DeadLetter letter) {
    letter_.emplace(std::move(letter));
    using Rung = void (DeadLetterLadder::*)();
    constexpr std::array<Rung, 7> rungs{&DeadLetterLadder::shrink_stack_trace, &DeadLetterLadder::shrink_chain,
                                        &DeadLetterLadder::shrink_message,     &DeadLetterLadder::leave_out_streams,
                                        &DeadLetterLadder::leave_out_spring,   &DeadLetterLadder::leave_out_context,
                                        &DeadLetterLadder::leave_out_error};
    for (const auto rung : rungs) {
        (this->*rung)();
        if (letter_->record_size() <= limit_) break;
    }
    return std::move(*letter_);
}

bool DeadLetterLadder::fits() {
    letter_.emplace(DeadLetterWriter::write(plan_));
    return letter_->record_size() <= limit_;
}

std::size_t DeadLetterLadder::room_for(std::size_t copies, std::size_t length) const noexcept {
    return (limit_ - letter_->record_size()) / copies + length;
}

std::size_t DeadLetterLadder::families() const noexcept {
    const auto& written = plan_.families;
    return std::size_t{written.connect} + std::size_t{written.spring} + std::size_t{written.streams};
}

// Each of the next three tries the letter with the shortest text that has a header, which tells how much room there is.

void DeadLetterLadder::shrink_stack_trace() {
    const auto whole = plan_.stack_trace;
    if (whole.empty()) return;
    plan_.note("stacktrace", whole.size());
    plan_.stack_trace = whole.substr(0, 1);
    plan_.stack_trace = fits() ? cut_lines(whole, room_for(families(), 1)) : std::string_view{};
    fits();
}

void DeadLetterLadder::shrink_chain() {
    const auto whole = std::exchange(plan_.error.chain, "[");
    if (whole.empty()) return plan_.error.chain.clear();
    plan_.note("chain", whole.size());
    plan_.error.chain = fits() ? cut_chain(whole, room_for(1, 1)) : std::string{};
    fits();
}

void DeadLetterLadder::shrink_message() {
    auto& message = plan_.error.message;
    if (!plan_.failure || !message || message->empty()) return;
    const auto whole = std::exchange(*message, std::string{});
    plan_.note("message", whole.size());
    const auto room = fits() ? room_for(families(), 0) : 0;
    if (room >= least_message)
        message = cut(whole, room);
    else
        plan_.with_message = false;
    fits();
}

void DeadLetterLadder::leave_out_streams() {
    leave_out_family("streams", plan_.families.streams);
}

void DeadLetterLadder::leave_out_spring() {
    leave_out_family("spring", plan_.families.spring);
}

void DeadLetterLadder::leave_out_family(std::string_view name, bool& family) {
    if (!family || families() == 1) return; // one must say where the record came from
    const auto before = letter_->record_size();
    family = false;
    fits();
    plan_.note(name, before - letter_->record_size());
    fits();
}

void DeadLetterLadder::leave_out_context() {
    const auto before = letter_->record_size();
    plan_.with_context = false;
    fits();
    if (letter_->record_size() == before) return;
    plan_.note("context", before - letter_->record_size());
    fits();
}

void DeadLetterLadder::leave_out_error() {
    if (!plan_.failure) return;
    const auto before = letter_->record_size();
    plan_.with_error = false;
    fits();
    plan_.note("error", before - letter_->record_size());
    fits();
}

} // namespace velostream::detail
