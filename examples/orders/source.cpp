// SPDX-License-Identifier: Apache-2.0
#include "source.hpp"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "input/csv.hpp"
#include "order_line.hpp"
#include "passing_error.hpp"
#include "velostream/async/time_source.hpp"

namespace orders {

using namespace std::chrono_literals;
using velostream::Error;
using velostream::Result;

namespace {

constexpr std::size_t most_in_flight = 8'192;
// The embedded cluster keeps 5 MiB a partition and drops older records without a word; all lines might have one key.
constexpr std::size_t most_bytes_ahead = 3 * 1024 * 1024;
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
    const auto drained = co_await wait_until(&Source::is_drained);
    co_return drained;
}

asio::awaitable<Result<void>> Source::send_batch(const LineBatch& batch) {
    for (std::size_t at = 0; at < batch.size(); ++at) {
        const auto line = batch[at];
        auto customer = customer_of(line);
        needed_ = sizeof(Slot) + sizeof(velostream::kafka::Header) + line.size() + customer.size();
        if (!has_room_for(line.size())) {
            const auto room = co_await wait_until(&Source::has_much_room);
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
        bytes_ahead_ += line.size();
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

bool Source::has_room_for(std::size_t line_bytes) const {
    return in_flight() < most_in_flight && has_memory_for(needed_) && failed_.empty() && !fatal_ &&
           bytes_ahead_ + line_bytes <= most_bytes_ahead;
}

// Room for many lines: to wait for each of them would cost more than to send it.
bool Source::has_much_room() const {
    return in_flight() <= most_in_flight - most_in_flight / 8 && has_memory_for(std::max(needed_, most_bytes_ / 8)) &&
           bytes_ahead_ + RecordSplitter::longest_record <= most_bytes_ahead;
}

bool Source::is_drained() const {
    return in_flight() == 0;
}

asio::awaitable<Result<void>> Source::wait_until(bool (Source::*ready)() const) {
    awaited_ = ready;
    while (!fatal_ && (!failed_.empty() || !(this->*ready)())) {
        if (!failed_.empty()) {
            co_await send_failed_again();
            continue;
        }
        boost::system::error_code cancelled;
        auto token = asio::redirect_error(asio::use_awaitable, cancelled);
        co_await changed_.async_wait(token);
        if (cancelled) co_return Error{cancelled};
    }
    awaited_ = nullptr;
    if (fatal_) co_return *fatal_;
    co_return Result<void>{};
}

void Source::wake_if_ready() {
    if (awaited_ && (fatal_ || !failed_.empty() || (this->*awaited_)())) changed_.wake_one();
}

asio::awaitable<void> Source::send_failed_again() {
    const auto executor = co_await asio::this_coro::executor;
    velostream::SteadyTime time;
    const auto at = time.now() + pause_before_sending_again;
    co_await velostream::async_sleep_until(time, executor, at, asio::use_awaitable);
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
    } else if (const auto error = sent.error(); passes_with_time(error)) {
        failed_.push_back(&slot);
    } else {
        fatal_ = at_line(slot.line, error);
    }
    wake_if_ready();
}

void Source::stop() {
    fail(velostream::Errc::cancelled);
}

void Source::fail(Error error) {
    reader_.stop();
    if (!fatal_) fatal_ = std::move(error);
    wake_if_ready();
}

void Source::on_consumed(std::size_t bytes) {
    bytes_ahead_ -= bytes;
    wake_if_ready();
}

} // namespace orders
