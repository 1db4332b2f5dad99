// SPDX-License-Identifier: Apache-2.0
#include "transaction_calls.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <string>
#include <thread>
#include <utility>

#include "velostream/async/time_source.hpp"
#include "velostream/kafka/error.hpp"

namespace velostream::kafka::transaction_calls {

namespace {

using std::chrono::milliseconds;

struct DestroyError {
    void operator()(rd_kafka_error_t* error) const noexcept { rd_kafka_error_destroy(error); }
};
using CallError = std::unique_ptr<rd_kafka_error_t, DestroyError>;

constexpr auto moment = milliseconds{100};  // between two tries
constexpr auto look_up = milliseconds{500}; // how long a call blocks that may be unwanted any time
constexpr auto patience =
    std::chrono::seconds{5}; // the same where to be called again is no small thing for the library

TimePoint now() {
    return SteadyTime{}.now();
}

int at_most(Duration longest, TimePoint until) {
    const auto left = std::clamp<Duration>(until - now(), milliseconds{1}, longest);
    return static_cast<int>(std::chrono::ceil<milliseconds>(left).count());
}

bool is_fenced(int code) noexcept {
    return code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
           code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
}

Failure failure_of(const ProducerSession& session, rd_kafka_error_t* error, const char* call) {
    auto code = rd_kafka_error_code(error);
    std::string text = std::string{call} + ": " + rd_kafka_error_string(error);
    if (rd_kafka_error_txn_requires_abort(error))
        return {Remedy::abort, Error{make_error_code(static_cast<KafkaErrc>(code)), std::move(text)}};
    if (rd_kafka_error_is_retriable(error))
        return {Remedy::wait, Error{make_error_code(static_cast<KafkaErrc>(code)), std::move(text)}};
    std::array<char, 512> why{};
    if (const auto fatal = rd_kafka_fatal_error(session.client(), why.data(), why.size());
        fatal != RD_KAFKA_RESP_ERR_NO_ERROR) {
        code = fatal;
        text.append("; ").append(why.data());
    }
    if (is_fenced(code)) return {Remedy::stop, Error{Errc::producer_fenced, std::move(text)}};
    Error found{make_error_code(static_cast<KafkaErrc>(code)), std::move(text)};
    const bool is_hopeless = found == ErrorType::authorization || found == ErrorType::authentication ||
                             code == RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT ||
                             code == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
    return {is_hopeless ? Remedy::stop : Remedy::reopen, std::move(found)};
}

/// `call()` until it ends otherwise than by an error after which it may be made again.
template <class Call>
Outcome insist(const ProducerSession& session, const char* name, TimePoint until, const std::atomic<bool>& is_unwanted,
               Call call) {
    for (;;) {
        const CallError error{call()};
        if (!error) return std::nullopt;
        auto failure = failure_of(session, error.get(), name);
        if (failure.remedy != Remedy::wait || is_unwanted || now() + moment >= until) return failure;
        std::this_thread::sleep_for(moment);
    }
}

Outcome begin(const ProducerSession& session) {
    const CallError error{rd_kafka_begin_transaction(session.client())};
    if (!error) return std::nullopt;
    return failure_of(session, error.get(), "begin");
}

} // namespace

Outcome open(ProducerSession& session, TimePoint until, const std::atomic<bool>& is_unwanted) {
    auto opening = insist(session, "init", until, is_unwanted,
                          [&] { return rd_kafka_init_transactions(session.client(), at_most(look_up, until)); });
    return opening ? opening : begin(session);
}

Outcome commit(ProducerSession& session, const Offsets& offsets, TimePoint until,
               const std::atomic<bool>& is_unwanted) {
    const auto list = ConsumerSession::list_of(offsets.positions);
    auto failed = insist(session, "send offsets", until, is_unwanted, [&] {
        return rd_kafka_send_offsets_to_transaction(session.client(), list.get(), offsets.membership.get(),
                                                    at_most(patience, until));
    });
    if (failed) {
        if (failed->remedy == Remedy::wait) failed->remedy = Remedy::abort; // nothing was committed yet
        return failed;
    }
    failed = insist(session, "commit", until, is_unwanted,
                    [&] { return rd_kafka_commit_transaction(session.client(), at_most(patience, until)); });
    if (failed) {
        if (failed->remedy == Remedy::wait) failed->remedy = Remedy::reopen; // it may have been committed
        return failed;
    }
    return begin(session);
}

Aborted abort(ProducerSession& session, TimePoint until, const std::atomic<bool>& is_unwanted) {
    Aborted aborted;
    // While a transaction is open this changes nothing, and of one that the client gave up it says why.
    if (const CallError state{rd_kafka_begin_transaction(session.client())};
        state && rd_kafka_error_txn_requires_abort(state.get()))
        aborted.why = failure_of(session, state.get(), "transaction").error;
    aborted.outcome = insist(session, "abort", until, is_unwanted,
                             [&] { return rd_kafka_abort_transaction(session.client(), at_most(patience, until)); });
    if (aborted.outcome) {
        if (aborted.outcome->remedy != Remedy::stop) aborted.outcome->remedy = Remedy::reopen;
    } else {
        aborted.outcome = begin(session);
    }
    return aborted;
}

void abort_at_the_end(ProducerSession& session, TimePoint until) noexcept {
    session.purge();
    for (;;) {
        const CallError error{rd_kafka_abort_transaction(session.client(), at_most(moment, until))};
        session.drain();
        if (!error || now() >= until) return;
        if (!rd_kafka_error_is_retriable(error.get())) return;
        std::this_thread::sleep_for(moment);
    }
}

Result<std::vector<ConsumerSession::Position>> committed(ConsumerSession& session,
                                                         std::vector<ConsumerSession::Position> partitions,
                                                         const std::atomic<bool>& is_unwanted) {
    const auto list = ConsumerSession::list_of(partitions);
    auto code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    while (code == RD_KAFKA_RESP_ERR__TIMED_OUT && !is_unwanted)
        code = rd_kafka_committed(session.client(), list.get(), look_up.count());
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return Error{make_error_code(static_cast<KafkaErrc>(code)), "committed offsets"};
    for (std::size_t i = 0; i < partitions.size(); ++i) {
        const auto& found = list->elems[i];
        if (found.err != RD_KAFKA_RESP_ERR_NO_ERROR)
            return Error{make_error_code(static_cast<KafkaErrc>(found.err)),
                         "committed offset of " + partitions[i].topic};
        partitions[i].offset = std::max<std::int64_t>(found.offset, -1);
    }
    return partitions;
}

// Not by a new assignment of the same partitions: it takes their records out of our queue, at a time that is not told.
Result<void> seek(ConsumerSession& session, const std::vector<ConsumerSession::Position>& places) {
    std::vector<ConsumerSession::Position> known;
    std::ranges::copy_if(places, std::back_inserter(known), [](const auto& place) { return place.offset >= 0; });
    if (known.empty()) return {};
    const auto list = ConsumerSession::list_of(known);
    constexpr int in_microseconds = 1000; // which 2.0.2 takes for milliseconds
    const CallError error{rd_kafka_seek_partitions(session.client(), list.get(),
                                                   static_cast<int>(milliseconds{patience}.count()) * in_microseconds)};
    if (error)
        return Error{make_error_code(static_cast<KafkaErrc>(rd_kafka_error_code(error.get()))),
                     std::string{"seek: "} + rd_kafka_error_string(error.get())};
    for (int i = 0; i < list->cnt; ++i)
        if (const auto code = list->elems[i].err; code != RD_KAFKA_RESP_ERR_NO_ERROR)
            return Error{make_error_code(static_cast<KafkaErrc>(code)), std::string{"seek in "} + list->elems[i].topic};
    return {};
}

} // namespace velostream::kafka::transaction_calls
