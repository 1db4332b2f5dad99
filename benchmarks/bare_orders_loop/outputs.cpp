// SPDX-License-Identifier: Apache-2.0
#include "outputs.hpp"

#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "kafka.hpp"

namespace velostream::bare {

namespace {

constexpr std::size_t longest_number = 32;

// As long as what the main job writes. To take one here would be its work, not the bytes'.
constexpr std::string_view stack_trace =
    "orders_pipeline+0x5a509\norders_pipeline+0x4d994\norders_pipeline+0x33a66\norders_pipeline+0x5f90d\n"
    "orders_pipeline+0xd3efa\norders_pipeline+0xd4b22\norders_pipeline+0xbd9d3\norders_pipeline+0xbea3c\n"
    "orders_pipeline+0x2d6b8\norders_pipeline+0x24860\norders_pipeline+0x21906\nlibc.so.6+0x27249\n"
    "libc.so.6+0x27304\norders_pipeline+0x23390";

/// A text of known size, written from left to right.
template <std::size_t Size>
class Text {
  public:
    Text& operator<<(std::string_view text) {
        const auto size = std::min(text.size(), static_cast<std::size_t>(buffer_.data() + Size - end_));
        std::memcpy(end_, text.data(), size);
        end_ += size;
        return *this;
    }
    Text& operator<<(std::int64_t number) {
        std::array<char, longest_number> digits{};
        const auto* const end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
        return *this << std::string_view{digits.data(), end};
    }
    std::string_view view() const { return {buffer_.data(), static_cast<std::size_t>(end_ - buffer_.data())}; }

  private:
    std::array<char, Size> buffer_;
    char* end_ = buffer_.data();
};

std::string_view column_of(Fault fault) {
    constexpr std::array<std::string_view, 5> columns{"", "line", "CustomerID", "Quantity", "UnitPrice"};
    return columns[static_cast<std::size_t>(fault)];
}

std::string_view rule_of(Fault fault) {
    constexpr std::array<std::string_view, 5> rules{"", "", "must not be empty", "must be a whole number other than 0",
                                                    "must be a number above 0"};
    return rules[static_cast<std::size_t>(fault)];
}

void* payload(std::string_view text) {
    return const_cast<char*>(text.data());
}

void wait_or_throw(rd_kafka_t* producer, rd_kafka_resp_err_t error) {
    if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) throw_if(error, "send");
    rd_kafka_poll(producer, 1); // a delivery report gives its place back
}

void add(rd_kafka_headers_t* headers, std::string_view name, std::string_view value) {
    throw_if(rd_kafka_header_add(headers, name.data(), static_cast<ssize_t>(name.size()), value.data(),
                                 static_cast<ssize_t>(value.size())),
             "header");
}

/// A message with headers.
struct Message {
    rd_kafka_topic_t* topic;
    std::string_view key; // empty: none
    std::string_view value;
    rd_kafka_headers_t* headers; // librdkafka's once the message is sent
    std::int64_t timestamp = 0;  // 0: now
};

void send(rd_kafka_t* producer, const Message& message) {
    std::array<rd_kafka_vu_t, 6> parts{};
    parts[0].vtype = RD_KAFKA_VTYPE_RKT;
    parts[0].u.rkt = message.topic;
    parts[1].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
    parts[1].u.i = RD_KAFKA_MSG_F_COPY;
    parts[2].vtype = RD_KAFKA_VTYPE_KEY;
    parts[2].u.mem = {message.key.empty() ? nullptr : payload(message.key), message.key.size()};
    parts[3].vtype = RD_KAFKA_VTYPE_VALUE;
    parts[3].u.mem = {payload(message.value), message.value.size()};
    parts[4].vtype = RD_KAFKA_VTYPE_HEADERS;
    parts[4].u.headers = message.headers;
    parts[5].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
    parts[5].u.i64 = message.timestamp;
    while (auto* const error = rd_kafka_produceva(producer, parts.data(), parts.size())) {
        const auto code = rd_kafka_error_code(error);
        rd_kafka_error_destroy(error);
        wait_or_throw(producer, code); // the headers are still ours
    }
}

} // namespace

void send_order(rd_kafka_t* producer, rd_kafka_topic_t* topic, std::string_view key, std::string_view line,
                std::int64_t number) {
    Text<longest_number> digits;
    digits << number;
    auto* headers = rd_kafka_headers_new(1);
    add(headers, "line", digits.view());
    send(producer, {.topic = topic, .key = key, .value = line, .headers = headers});
}

void send_total(rd_kafka_t* producer, rd_kafka_topic_t* topic, std::string_view customer, std::int64_t lines,
                std::int64_t thousandths) {
    std::array<char, longest_number> amount{};
    const auto* const amount_end = write_amount(amount.data(), thousandths);
    Text<512> value;
    value << R"({"customer":")" << customer << R"(","lines":)" << lines << R"(,"total":")"
          << std::string_view{amount.data(), amount_end} << R"("})";
    while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, payload(value.view()),
                            value.view().size(), customer.data(), customer.size(), nullptr) != 0)
        wait_or_throw(producer, rd_kafka_last_error());
}

void DeadLetters::send_line(rd_kafka_message_t& message, const Order& order) {
    const auto now =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    reason_.assign("bad order line (").append(column_of(order.fault)).append("): ").append(column_of(order.fault));
    if (order.fault == Fault::line) {
        const std::string_view line{static_cast<const char*>(message.payload), message.len};
        reason_.append(" is \"")
            .append(line)
            .append("\": must have 8 fields, not ")
            .append(std::to_string(order.fields));
    } else {
        reason_.append(" is \"").append(order.faulty_value).append("\": ").append(rule_of(order.fault));
    }

    Text<longest_number> partition;
    Text<longest_number> offset;
    Text<longest_number> milliseconds;
    Text<longest_number> original_time;
    Text<longest_number> class_name;
    Text<512> id;
    partition << std::int64_t{message.partition};
    offset << message.offset;
    milliseconds << now;
    original_time << rd_kafka_message_timestamp(&message, nullptr);
    class_name << "orders:" << static_cast<std::int64_t>(order.fault);
    id << source_topic_ << "/" << partition.view() << "/" << offset.view() << "/" << group_ << "/";

    rd_kafka_headers_t* headers = nullptr; // first those of the line itself
    throw_if(rd_kafka_message_detach_headers(&message, &headers), "headers");
    add(headers, "__connect.errors.topic", source_topic_);
    add(headers, "__connect.errors.partition", partition.view());
    add(headers, "__connect.errors.offset", offset.view());
    add(headers, "__connect.errors.connector.name", "orders_pipeline");
    add(headers, "__connect.errors.stage", "TRANSFORMATION");
    add(headers, "__connect.errors.exception.class.name", class_name.view());
    add(headers, "__connect.errors.exception.message", reason_);
    add(headers, "__connect.errors.exception.stacktrace", stack_trace);
    add(headers, "x-dlq-version", "1");
    add(headers, "x-dlq-id", id.view());
    add(headers, "x-dlq-original-timestamp", original_time.view());
    add(headers, "x-dlq-original-timestamp-type", "CreateTime");
    add(headers, "x-dlq-group", group_);
    add(headers, "x-dlq-error-type", "bad_request");
    add(headers, "x-dlq-attempts", "1");
    add(headers, "x-dlq-first-failure-ms", milliseconds.view());
    add(headers, "x-dlq-last-failure-ms", milliseconds.view());
    add(headers, "x-dlq-fingerprint", "0123456789abcdef");

    const std::string_view key{static_cast<const char*>(message.key), message.key_len};
    const std::string_view value{static_cast<const char*>(message.payload), message.len};
    send(producer_, {.topic = topic_, .key = key, .value = value, .headers = headers, .timestamp = now});
}

} // namespace velostream::bare
