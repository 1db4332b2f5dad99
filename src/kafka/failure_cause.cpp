// SPDX-License-Identifier: Apache-2.0
#include "failure_cause.hpp"

#include <librdkafka/rdkafka.h>

#include <utility>

#include "client_conf.hpp"
#include "velostream/kafka/error.hpp"

namespace velostream::kafka {

namespace {

Error kafka_error(int code, std::string detail) {
    return {make_error_code(static_cast<KafkaErrc>(code)), std::move(detail)};
}

std::string topic_of(const FailureCause::Send& send) {
    return "topic " + send.topic;
}

std::string too_late(const FailureCause::Send& send, TimePoint now) {
    return topic_of(send) + ": no acknowledgment within " + in_milliseconds(now - send.started);
}

} // namespace

void FailureCause::note(int code, std::string text) {
    // "All brokers down" says less than what came before it, and a wrong password is what somebody has to mend.
    if (is_in_force() && code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) return;
    if (is_in_force() && code_ == RD_KAFKA_RESP_ERR__AUTHENTICATION && code != code_) return;
    // Whom the client does not trust it cannot work with until somebody mends that.
    const bool is_untrusted = code == RD_KAFKA_RESP_ERR__SSL && text.find("certificate") != std::string::npos;
    code_ = is_untrusted ? RD_KAFKA_RESP_ERR__AUTHENTICATION : code;
    text_ = std::move(text);
    over_at_ = TimePoint::max();
}

// An outage that is over counts too, if it was not yet when the send began.
std::optional<Error> FailureCause::of(const Send& send) const {
    if (code_ == 0 || over_at_ < send.started) return std::nullopt;
    return as_error();
}

std::optional<Error> FailureCause::error() const {
    if (!is_in_force()) return std::nullopt;
    return as_error();
}

Error FailureCause::as_error() const {
    const auto error = kafka_error(code_, text_);
    if (error == ErrorType::network || code_ == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        return Error{Errc::broker_unreachable, text_};
    return error;
}

Error FailureCause::not_written_in_time(const Send& send, TimePoint now) const {
    const auto what = too_late(send, now);
    if (const auto cause = of(send)) return cause->with_detail(what + "; " + text_);
    return {Errc::send_timeout, what};
}

Error FailureCause::perhaps_written(const Send& send, TimePoint now) const {
    const Error error{Errc::send_outcome_unknown, too_late(send, now)};
    if (const auto cause = of(send)) return error.with_inner(*cause);
    return error;
}

Error FailureCause::refused(const Send& send, int code, bool is_certain, bool comes_again) {
    const auto refusal = kafka_error(code, topic_of(send));
    if (!is_certain) return Error{Errc::send_outcome_unknown, topic_of(send)}.with_inner(refusal);
    if (refusal != ErrorType::fatal && !(comes_again && refusal.blames_record())) return refusal;
    // Fatal for what the client was doing, but it begins anew: another try may go well.
    return kafka_error(RD_KAFKA_RESP_ERR__RETRY, topic_of(send)).with_inner(refusal);
}

} // namespace velostream::kafka
