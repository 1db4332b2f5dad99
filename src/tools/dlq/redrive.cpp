// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/redrive.hpp"

#include <algorithm>
#include <utility>

namespace velostream::dlq {

asio::awaitable<Result<void>> Redrive::run() {
    Result<void> reading;
    while (goes_on() && (!options_.most || tried() < *options_.most)) {
        const auto letters = co_await letters_.next();
        if (!letters) {
            reading = letters.error();
            could_not_read_ = true;
            break;
        }
        if (letters->empty()) break;
        co_await work_off(*letters);
        on_progress();
    }
    const auto remembered = co_await letters_.finish();
    if (!reading) co_return reading;
    if (stopped_by_) co_return *stopped_by_;
    if (first_error_) co_return *first_error_;
    co_return remembered;
}

void Redrive::interrupt() {
    is_interrupted_ = true;
    letters_.stop();
}

std::vector<std::size_t> Redrive::sort_out(std::span<const Letter> letters) {
    std::vector<std::size_t> wanted;
    const auto room = options_.most ? *options_.most - tried() : letters.size();
    for (std::size_t index = 0; index < letters.size() && wanted.size() < room; ++index) {
        const auto& letter = letters[index];
        ++figures_.read;
        const auto fate = options_.rules.fate_of(letter, read_dead_letter(letter.record));
        if (fate == Fate::sent) {
            wanted.push_back(index);
            continue;
        }
        if (!options_.dry_run) letters_.leave(index);
        ++(fate == Fate::filtered         ? figures_.filtered
           : fate == Fate::over_limit     ? figures_.over_limit
           : fate == Fate::without_record ? figures_.without_record
                                          : figures_.without_topic);
    }
    return wanted;
}

asio::awaitable<void> Redrive::work_off(std::span<const Letter> letters) {
    const auto wanted = sort_out(letters);
    if (options_.dry_run) {
        figures_.sent += wanted.size();
        co_return;
    }
    std::span<const std::size_t> rest{wanted};
    while (!rest.empty() && goes_on()) {
        const bool are_canaries = tried() < options_.canary;
        const auto count = are_canaries ? std::min<std::size_t>(options_.canary - tried(), rest.size()) : rest.size();
        const auto part = rest.first(count);
        rest = rest.subspan(count);
        co_await send(letters, part);
        if (are_canaries && first_error_ && !stopped_by_) stopped_by_ = first_error_;
    }
    figures_.held_back += rest.size();
}

asio::awaitable<void> Redrive::send(std::span<const Letter> letters, std::span<const std::size_t> wanted) {
    std::vector<kafka::Record> records;
    std::vector<std::optional<OrderKey>> keys;
    for (const auto index : wanted) {
        records.push_back(*record_to_send(letters[index], options_.rules.to));
        keys.push_back(order_key_of(records.back()));
    }
    for (const auto& round : rounds_of(keys)) {
        std::vector<kafka::Record> to_send;
        std::vector<std::size_t> places; // in `wanted`
        for (const auto at : round) {
            if (keys[at] && stopped_keys_.contains(*keys[at])) continue;
            to_send.push_back(std::move(records[at]));
            places.push_back(at);
        }
        const auto tried_before = tried();
        const std::function<bool()> may_go_on = [this] { return goes_on(); };
        const SendEnded on_ended = [&](std::size_t sent_index, const Result<kafka::Delivery>& sent) {
            const auto at = places[sent_index];
            ended(letters[wanted[at]], wanted[at], keys[at], sent);
        };
        co_await send_(to_send, may_go_on, on_ended);
        figures_.held_back += round.size() - (tried() - tried_before);
        on_progress();
    }
}

void Redrive::ended(const Letter& letter, std::size_t index, const std::optional<OrderKey>& key,
                    const Result<kafka::Delivery>& sent) {
    if (sent) {
        ++figures_.sent;
        letters_.done(index);
        return;
    }
    ++figures_.failed;
    if (key) stopped_keys_.insert(*key);
    const auto error = sent.error().with_detail("letter " + to_string(letter.place));
    if (!first_error_) first_error_ = error;
    if (!error.blames_record() && !stopped_by_) stopped_by_ = error;
}

} // namespace velostream::dlq
