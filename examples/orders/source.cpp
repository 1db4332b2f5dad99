// SPDX-License-Identifier: Apache-2.0
#include "source.hpp"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "input/csv.hpp"
#include "order_line.hpp"

namespace orders {

using namespace std::chrono_literals;
using velostream::Error;
using velostream::Result;

namespace {

constexpr std::size_t most_unacknowledged = 8'192;
constexpr velostream::Bytes much_for_a_line = 1'024;
constexpr auto pause_before_sending_again = 200ms;

} // namespace

Source::Source(LineReader& reader, velostream::kafka::Producer& producer, std::string topic, Figures& figures,
               velostream::Bytes most_bytes, std::ofstream* copy)
    : reader_(reader),
      producer_(producer),
      topic_(std::move(topic)),
      figures_(figures),
      most_bytes_(most_bytes),
      copy_(copy) {}

asio::awaitable<Result<void>> Source::run() {
    for (;;) {
        const auto batch = co_await reader_.next();
        if (!batch) co_return batch.error();
        if (!*batch) break;
        const auto sent = co_await send_batch(**batch);
        if (!sent) co_return sent;
    }
    is_at_end_ = true;
    const auto drained = co_await wait_until_ready();
    co_return drained;
}

asio::awaitable<Result<void>> Source::send_batch(const LineBatch& batch) {
    for (std::size_t at = 0; at < batch.size(); ++at) {
        const auto line = batch[at];
        auto customer = customer_of(line);
        needed_ = sizeof(Slot) + sizeof(velostream::kafka::Header) + line.size() + customer.size();
        const auto topic_bytes = bytes_in_topic(line.size(), customer.size());
        if (!has_room_for(topic_bytes)) {
            const auto room = co_await wait_until_ready();
            if (!room) co_return room;
        }
        if (copy_ != nullptr && !(*copy_ << line << '\n'))
            co_return Error{boost::system::errc::make_error_code(boost::system::errc::io_error), "--write-orders"};

        auto& slot = free_slot();
        slot.line = figures_.read;
        slot.bytes = needed_;
        slot.record.headers.front().value = std::to_string(slot.line);
        slot.record.key.reset();
        if (!customer.empty()) slot.record.key = std::move(customer);
        slot.record.value = line;
        bytes_ += needed_;
        bytes_ahead_ += topic_bytes;
        ++figures_.read;
        send(slot);
    }
    co_return Result<void>{};
}

Source::Slot& Source::free_slot() {
    if (free_.empty()) {
        auto& record = slots_.emplace_back().record;
        record.topic = topic_;
        record.headers.emplace_back(std::string{line_number_header}, std::string{});
        return slots_.back();
    }
    auto& slot = *free_.back();
    free_.pop_back();
    return slot;
}

bool Source::has_memory_for(velostream::Bytes bytes) const {
    return bytes_ == 0 || bytes_ + bytes <= most_bytes_;
}

bool Source::has_room_for(std::size_t topic_bytes) const {
    return in_flight() < most_unacknowledged && has_memory_for(needed_) && failed_.empty() && !fatal_ &&
           bytes_ahead_ + topic_bytes <= most_bytes_ahead;
}

// Before the end: room for many lines. To wait for each of them would cost more than to send it.
bool Source::is_ready() const {
    if (!failed_.empty()) return false;
    if (is_at_end_) return in_flight() == 0;
    return in_flight() <= most_unacknowledged - most_unacknowledged / 8 &&
           has_memory_for(std::max(needed_, most_bytes_ / 8)) &&
           bytes_ahead_ + bytes_in_topic(RecordSplitter::longest_record, longest_customer) <= most_bytes_ahead;
}

asio::awaitable<Result<void>> Source::wait_until_ready() {
    is_waiting_ = true;
    while (!fatal_ && !is_ready()) {
        if (failed_.empty())
            co_await changed_.async_wait(asio::use_awaitable);
        else
            co_await send_failed_again();
    }
    is_waiting_ = false;
    if (fatal_) co_return *fatal_;
    co_return Result<void>{};
}

void Source::wake_if_needed() {
    if (is_waiting_ && (fatal_ || !failed_.empty() || is_ready())) changed_.wake_one();
}

asio::awaitable<void> Source::send_failed_again() {
    asio::steady_timer pause{co_await asio::this_coro::executor, pause_before_sending_again};
    co_await pause.async_wait(asio::use_awaitable);
    const auto again = std::exchange(failed_, {});
    for (auto* slot : again) send(*slot);
}

void Source::send(Slot& slot) {
    producer_.async_send(slot.record,
                         [this, &slot](const Result<velostream::kafka::Delivery>& sent) { finish(slot, sent); });
}

void Source::finish(Slot& slot, const Result<velostream::kafka::Delivery>& sent) {
    if (sent) {
        bytes_ -= slot.bytes;
        if (slot.bytes > much_for_a_line)
            slot.record.key = slot.record.value = std::nullopt; // with what they had grown to
        free_.push_back(&slot);
    } else if (const auto error = sent.error(); error.passes_with_repetition()) {
        failed_.push_back(&slot); // a line that was written twice is recognised
    } else {
        fatal_ = at_line(slot.line, error);
    }
    wake_if_needed();
}

void Source::fail(Error error) {
    reader_.stop();
    if (!fatal_) fatal_ = std::move(error);
    wake_if_needed();
}

void Source::on_consumed(std::size_t bytes) {
    bytes_ahead_ -= bytes;
    wake_if_needed();
}

} // namespace orders
