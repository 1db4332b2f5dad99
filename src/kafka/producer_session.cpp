// SPDX-License-Identifier: Apache-2.0
#include "producer_session.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <utility>

#include "async/background.hpp"
#include "client_conf.hpp"

namespace velostream::kafka {

namespace {

// So long a topic that was just made may be unknown to some brokers.
constexpr auto propagation_property = "topic.metadata.propagation.max.ms";
Duration propagation_of(const ProducerConfig& config) {
    const auto given = config.properties.find(propagation_property);
    if (given == config.properties.end()) return std::chrono::seconds{30};
    return std::chrono::milliseconds{std::strtol(given->second.c_str(), nullptr, 10)};
}

ClientConf conf_of(const ProducerConfig& config,
                   const std::optional<TransactionalIdentity>& transactions = std::nullopt) {
    using std::chrono::milliseconds;
    ClientConf conf{config.bootstrap_servers, config.client_id};
    conf.check(config.delivery_timeout >= milliseconds{10}, "delivery_timeout",
               in_milliseconds(config.delivery_timeout), "must be ≥ 10 ms");
    conf.check(config.linger >= Duration{0} && config.linger <= std::chrono::seconds{900}, "linger",
               in_milliseconds(config.linger), "must be 0 to 900 s");
    conf.check(config.max_in_flight >= 1, "max_in_flight", std::to_string(config.max_in_flight), "must be ≥ 1");
    conf.check(config.max_in_flight_bytes >= 1, "max_in_flight_bytes", std::to_string(config.max_in_flight_bytes),
               "must be ≥ 1");
    if (!conf.problems().empty()) return conf;

    // A little before our own deadline, so that the library's report, which knows whether the record was written,
    // mostly comes first: it is up to a second late.
    constexpr Duration enough = milliseconds{1200};
    const auto timeout = config.delivery_timeout - std::min(config.delivery_timeout / 4, enough);
    conf.set("message.timeout.ms", timeout);
    // A topic that nobody has is told as such, and not as a record that came too late. It is looked for once a second.
    // Not in transactions, whose records come again in the next one: what the client knows not to exist it refuses.
    constexpr Duration time_to_look = milliseconds{1500};
    if (!transactions)
        conf.set(propagation_property, std::min(propagation_of(config), timeout - std::min(timeout / 2, time_to_look)));
    conf.set("linger.ms", std::to_string(std::chrono::duration<double, std::milli>(config.linger).count()));
    conf.set("compression.type", std::string{to_string(config.compression)});
    conf.set("enable.idempotence", "true");
    conf.set("partitioner", "murmur2_random"); // as in the Java client: both find a key in the same partition
    // Our own budget is the only one: a full queue of the library would be an error instead of a wait.
    conf.set("queue.buffering.max.messages", 0);
    conf.set("queue.buffering.max.kbytes", std::numeric_limits<std::int32_t>::max());
    if (transactions) {
        conf.set("transactional.id", transactions->id);
        conf.set("transaction.timeout.ms", transactions->timeout);
    }
    conf.set(config.properties, {"delivery.report.only.error", "enabled_events", "log.queue", "transactional.id",
                                 "transaction.timeout.ms"});
    return conf;
}

// Not null where there are no bytes, either: a view of them may point to nothing.
const void* data_of(const NullableBytes& bytes) noexcept {
    if (!bytes) return nullptr;
    return bytes->data() ? bytes->data() : "";
}
std::size_t size_of(const NullableBytes& bytes) noexcept {
    return bytes ? bytes->size() : 0;
}

struct DestroyHeaders {
    void operator()(rd_kafka_headers_t* headers) const noexcept { rd_kafka_headers_destroy(headers); }
};

rd_kafka_vu_t pointer_of(rd_kafka_vtype_t type, void* pointer) noexcept {
    rd_kafka_vu_t argument{};
    argument.vtype = type;
    argument.u.ptr = pointer;
    return argument;
}

rd_kafka_vu_t bytes_of(rd_kafka_vtype_t type, const NullableBytes& bytes) noexcept {
    rd_kafka_vu_t argument{};
    argument.vtype = type;
    argument.u.mem.ptr = const_cast<void*>(data_of(bytes));
    argument.u.mem.size = size_of(bytes);
    return argument;
}

} // namespace

std::string_view to_string(Compression compression) noexcept {
    constexpr std::array<std::string_view, 5> names{"none", "gzip", "snappy", "lz4", "zstd"};
    const auto index = static_cast<std::size_t>(compression);
    return index < names.size() ? names[index] : "unknown";
}

std::vector<ConfigProblem> validate(const ProducerConfig& config) {
    return conf_of(config).problems();
}

void ProducerSession::Hook::on_report(rd_kafka_t* client, const rd_kafka_message_t* report, void* self) {
    auto* const listener = static_cast<Hook*>(self)->listener;
    if (listener && !listener->on_report(*report)) rd_kafka_yield(client);
}

void ProducerSession::Hook::on_problem(rd_kafka_t*, int code, const char* text, void* self) {
    if (auto* const listener = static_cast<Hook*>(self)->listener) listener->on_problem(code, text);
}

ProducerSession::ProducerSession(const ProducerConfig& config, EventSignal& signal, Listener& listener,
                                 const std::optional<TransactionalIdentity>& transactions)
    : has_transactions_(transactions.has_value()),
      propagation_(propagation_of(config)),
      hook_(std::make_unique<Hook>(&listener)) {
    auto conf = conf_of(config, transactions);
    rd_kafka_conf_set_opaque(conf.get(), hook_.get());
    if (has_transactions_) {
        rd_kafka_conf_set_events(conf.get(), RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    } else {
        rd_kafka_conf_set_dr_msg_cb(conf.get(), &Hook::on_report);
        rd_kafka_conf_set_error_cb(conf.get(), &Hook::on_problem);
    }
    client_ = conf.open(RD_KAFKA_PRODUCER);
    events_ = rd_kafka_queue_get_main(client_);
    connection_.emplace(signal, events_);
}

ProducerSession::~ProducerSession() {
    disconnect();
    hook_->listener = nullptr;
    reports_.reset();
    run_in_background([client = client_, events = events_, topics = std::move(topics_),
                       hook = std::shared_ptr<Hook>{std::move(hook_)}] {
        for (const auto& [name, topic] : topics) rd_kafka_topic_destroy(topic.handle);
        rd_kafka_queue_destroy(events);
        rd_kafka_destroy(client);
    });
}

rd_kafka_topic_t* ProducerSession::topic(std::string_view name) {
    if (last_name_ && *last_name_ == name) return last_topic_;
    auto found = topics_.find(name);
    if (found == topics_.end()) found = topics_.emplace(name, Topic{}).first;
    auto& topic = found->second;
    if (!topic.handle)
        topic = {rd_kafka_topic_new(client_, found->first.c_str(), nullptr), std::chrono::steady_clock::now()};
    if (!topic.handle) {
        topics_.erase(found);
        return nullptr;
    }
    last_name_ = &found->first;
    last_topic_ = topic.handle;
    return last_topic_;
}

rd_kafka_resp_err_t ProducerSession::produce(const RecordView& record, void* opaque) {
    auto* const to = record.topic.empty() ? nullptr : topic(record.topic);
    if (!to) return RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
    const auto code = !record.headers.empty() || record.timestamp ? produce_in_full(to, record, opaque)
                                                                  : produce_plainly(to, record, opaque);
    const bool is_perhaps_new =
        code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC &&
        std::chrono::steady_clock::now() - topics_.find(record.topic)->second.opened < propagation_;
    return is_perhaps_new ? RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART : code;
}

rd_kafka_resp_err_t ProducerSession::produce_plainly(rd_kafka_topic_t* topic, const RecordView& record, void* opaque) {
    const int failed =
        rd_kafka_produce(topic, record.partition, RD_KAFKA_MSG_F_COPY, const_cast<void*>(data_of(record.value)),
                         size_of(record.value), data_of(record.key), size_of(record.key), opaque);
    return failed ? rd_kafka_last_error() : RD_KAFKA_RESP_ERR_NO_ERROR;
}

// Headers go as one list: given one by one, they are freed twice when the call fails (2.0.2).
rd_kafka_resp_err_t ProducerSession::produce_in_full(rd_kafka_topic_t* topic, const RecordView& record, void* opaque) {
    std::array<rd_kafka_vu_t, 8> arguments{};
    std::size_t count = 0;
    arguments[count++] = pointer_of(RD_KAFKA_VTYPE_RKT, topic);
    arguments[count++] = pointer_of(RD_KAFKA_VTYPE_OPAQUE, opaque);
    arguments[count++] = bytes_of(RD_KAFKA_VTYPE_VALUE, record.value);
    arguments[count++] = bytes_of(RD_KAFKA_VTYPE_KEY, record.key);
    arguments[count].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
    arguments[count++].u.i = RD_KAFKA_MSG_F_COPY;
    arguments[count].vtype = RD_KAFKA_VTYPE_PARTITION;
    arguments[count++].u.i32 = record.partition;
    if (record.timestamp) {
        arguments[count].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
        arguments[count++].u.i64 = record.timestamp->time_since_epoch().count();
    }

    std::unique_ptr<rd_kafka_headers_t, DestroyHeaders> headers;
    if (!record.headers.empty()) {
        headers.reset(rd_kafka_headers_new(record.headers.size()));
        for (const auto header : record.headers)
            rd_kafka_header_add(headers.get(), header.name.data(), static_cast<ssize_t>(header.name.size()),
                                data_of(header.value), static_cast<ssize_t>(size_of(header.value)));
        arguments[count++] = pointer_of(RD_KAFKA_VTYPE_HEADERS, headers.get());
    }

    auto* const failure = rd_kafka_produceva(client_, arguments.data(), count);
    if (!failure) {
        static_cast<void>(headers.release()); // the message owns them now
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    const auto code = rd_kafka_error_code(failure);
    rd_kafka_error_destroy(failure);
    return code;
}

void ProducerSession::serve() noexcept {
    if (!has_transactions_) {
        rd_kafka_queue_poll_callback(events_, 0);
        return;
    }
    while (hook_->listener) {
        if (!reports_) reports_.reset(rd_kafka_queue_poll(events_, 0));
        if (!reports_) return;
        const auto type = rd_kafka_event_type(reports_.get());
        while (const auto* report = type == RD_KAFKA_EVENT_DR ? rd_kafka_event_message_next(reports_.get()) : nullptr)
            if (!hook_->listener->on_report(*report)) return;
        if (type == RD_KAFKA_EVENT_ERROR)
            hook_->listener->on_problem(rd_kafka_event_error(reports_.get()),
                                        rd_kafka_event_error_string(reports_.get()));
        reports_.reset();
    }
}

void ProducerSession::drain() noexcept {
    reports_.reset();
    while (const Event dropped{rd_kafka_queue_poll(events_, 0)}) continue;
}

void ProducerSession::purge() noexcept {
    rd_kafka_purge(client_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
}

std::string ProducerSession::fatal_error() const {
    std::array<char, 512> text{};
    const auto code = rd_kafka_fatal_error(client_, text.data(), text.size());
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? std::string{} : std::string{text.data()};
}

} // namespace velostream::kafka
