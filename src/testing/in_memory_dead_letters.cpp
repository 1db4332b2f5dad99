// SPDX-License-Identifier: Apache-2.0
#include "velostream/testing/in_memory_dead_letters.hpp"

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <mutex>
#include <utility>

#include "velostream/async/wait_queue.hpp"

namespace velostream::testing {

namespace {

std::optional<std::string> copied(const NullableBytes& bytes) {
    return bytes ? std::optional<std::string>{*bytes} : std::nullopt;
}

} // namespace

KeptDeadLetter::KeptDeadLetter(const DeadLetter& letter)
    : topic(letter.topic()),
      key(copied(letter.key())),
      value(copied(letter.value())),
      timestamp(letter.timestamp()),
      source_partition(letter.source_partition()),
      id(letter.id()) {
    headers.reserve(letter.headers().size());
    for (const auto& [name, bytes] : letter.headers()) headers.push_back({std::string{name}, copied(bytes)});
}

std::optional<std::string> KeptDeadLetter::header(std::string_view name) const {
    const auto found = std::find_if(headers.rbegin(), headers.rend(), [&](const Header& h) { return h.name == name; });
    return found == headers.rend() ? std::nullopt : found->value;
}

struct InMemoryDeadLetters::State {
    mutable std::mutex mutex;
    std::vector<KeptDeadLetter> letters;
    std::vector<Delivery> deliveries;
    std::deque<Error> failures;
    std::atomic<bool> held = false; // read under the wait queue's lock too
    WaitQueue waiting;
};

InMemoryDeadLetters::InMemoryDeadLetters() : state_(std::make_shared<State>()) {}

void InMemoryDeadLetters::fail_next(Error error, std::size_t times) {
    const std::lock_guard lock{state_->mutex};
    state_->failures.insert(state_->failures.end(), times, error);
}

void InMemoryDeadLetters::hold() {
    state_->held = true;
}

void InMemoryDeadLetters::release() {
    state_->held = false;
    state_->waiting.wake_all();
}

std::vector<KeptDeadLetter> InMemoryDeadLetters::letters() const {
    const std::lock_guard lock{state_->mutex};
    return state_->letters;
}

std::vector<Delivery> InMemoryDeadLetters::deliveries() const {
    const std::lock_guard lock{state_->mutex};
    return state_->deliveries;
}

asio::awaitable<Result<DeadLetterReceipt>> InMemoryDeadLetters::store(const DeadLetter& letter, CallContext& call) {
    const auto state = state_;
    {
        const std::lock_guard lock{state->mutex};
        state->deliveries.push_back({std::string{letter.id()}, call.attempt(), call.deadline()});
    }
    if (state->held) {
        const auto is_open = [held = &state->held]() noexcept { return !*held; };
        const auto [interrupted] =
            co_await state->waiting.async_wait_unless(is_open, asio::as_tuple(asio::use_awaitable));
        if (interrupted) co_return Error{Errc::cancelled};
    }

    const std::lock_guard lock{state->mutex};
    if (!state->failures.empty()) {
        auto failure = std::move(state->failures.front());
        state->failures.pop_front();
        co_return failure;
    }
    state->letters.emplace_back(letter);
    co_return DeadLetterReceipt{.partition = 0, .offset = static_cast<std::int64_t>(state->letters.size()) - 1};
}

} // namespace velostream::testing
