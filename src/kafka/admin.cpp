// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/admin.hpp"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <span>

#include "background_question.hpp"
#include "client_conf.hpp"
#include "failure_cause.hpp"
#include "topic_answers.hpp"
#include "velostream/async/time_source.hpp"

namespace velostream::kafka {

namespace {

ClientConf conf_of(const AdminConfig& config) {
    ClientConf conf{config.bootstrap_servers, config.client_id};
    conf.set(config.properties, {"enabled_events", "log.queue"});
    return conf;
}

template <auto destroy>
struct Destroy {
    void operator()(auto* object) const noexcept { destroy(object); }
};
using Client = std::unique_ptr<rd_kafka_t, Destroy<rd_kafka_destroy>>;
using Queue = std::unique_ptr<rd_kafka_queue_t, Destroy<rd_kafka_queue_destroy>>;
using Event = std::unique_ptr<rd_kafka_event_t, Destroy<rd_kafka_event_destroy>>;
using Options = std::unique_ptr<rd_kafka_AdminOptions_t, Destroy<rd_kafka_AdminOptions_destroy>>;
using ToCreate = std::unique_ptr<rd_kafka_NewTopic_t, Destroy<rd_kafka_NewTopic_destroy>>;
using ToDelete = std::unique_ptr<rd_kafka_DeleteTopic_t, Destroy<rd_kafka_DeleteTopic_destroy>>;
using Resource = std::unique_ptr<rd_kafka_ConfigResource_t, Destroy<rd_kafka_ConfigResource_destroy>>;
using RecordsToDelete = std::unique_ptr<rd_kafka_DeleteRecords_t, Destroy<rd_kafka_DeleteRecords_destroy>>;
using Partitions = std::unique_ptr<rd_kafka_topic_partition_list_t, Destroy<rd_kafka_topic_partition_list_destroy>>;
using Topic = std::unique_ptr<rd_kafka_topic_t, Destroy<rd_kafka_topic_destroy>>;
using Metadata = std::unique_ptr<const rd_kafka_metadata_t, Destroy<rd_kafka_metadata_destroy>>;
using Topics = std::span<const rd_kafka_topic_result_t* const>;

// At most what the client library takes.
int to_milliseconds(Duration duration) {
    const auto at_most = std::min<Duration>(duration, std::chrono::hours{1});
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(at_most).count());
}

Result<void> outcome_of(Topics topics, KafkaErrc mildest) {
    std::vector<TopicAnswer> answers;
    for (const auto* topic : topics) {
        const auto code = rd_kafka_topic_result_error(topic);
        const auto* const words = rd_kafka_topic_result_error_string(topic);
        answers.push_back({rd_kafka_topic_result_name(topic), KafkaErrc{code}, words ? words : rd_kafka_err2str(code)});
    }
    return outcome_of(answers, mildest);
}

void note_problem(rd_kafka_t*, int code, const char* text, void* cause) {
    static_cast<FailureCause*>(cause)->note(code, text);
}

// How long a call may block before it looks whether it is still wanted, and at problems.
constexpr auto look_up = std::chrono::milliseconds{100};

// The answer, or null. What the client complains of meanwhile is noted.
Event wait_for_answer(rd_kafka_t* client, rd_kafka_queue_t* queue, TimePoint end, const Unwanted& is_unwanted) {
    Event answer;
    while (!answer && !is_unwanted && SteadyTime{}.now() < end) {
        answer.reset(rd_kafka_queue_poll(queue, to_milliseconds(look_up)));
        rd_kafka_poll(client, 0);
    }
    return answer;
}

// Connects, asks, waits for the answer. Blocks.
template <class T = void, class Ask>
Result<T> ask(const AdminConfig& config, rd_kafka_admin_op_t operation, Duration timeout, const Unwanted& is_unwanted,
              Ask ask_for) {
    FailureCause cause;
    auto conf = conf_of(config);
    rd_kafka_conf_set_opaque(conf.get(), &cause);
    rd_kafka_conf_set_error_cb(conf.get(), note_problem);
    const Client client{conf.open(RD_KAFKA_PRODUCER)};
    const Queue queue{rd_kafka_queue_new(client.get())};
    const Options options{rd_kafka_AdminOptions_new(client.get(), operation)};
    std::array<char, 256> problem{};
    rd_kafka_AdminOptions_set_request_timeout(options.get(), to_milliseconds(timeout), problem.data(), problem.size());
    rd_kafka_AdminOptions_set_operation_timeout(options.get(), to_milliseconds(timeout), problem.data(),
                                                problem.size());
    const auto result_of = ask_for(client.get(), options.get(), queue.get());

    constexpr auto answer_margin = std::chrono::seconds{2}; // the library itself answers at its timeout, not exactly
    const auto end = saturating_add(saturating_add(SteadyTime{}.now(), timeout), answer_margin);
    const auto event = wait_for_answer(client.get(), queue.get(), end, is_unwanted);
    const auto code = event ? rd_kafka_event_error(event.get()) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    const auto in_time = "no answer within " + in_milliseconds(timeout);
    if (code == RD_KAFKA_RESP_ERR__TIMED_OUT) {
        if (const auto known = cause.error()) return known->with_detail(in_time + "; " + std::string{known->detail()});
        return Error{make_error_code(KafkaErrc{code}), in_time};
    }
    if (code) return Error{make_error_code(static_cast<KafkaErrc>(code)), rd_kafka_event_error_string(event.get())};
    return result_of(event.get());
}

Result<void> create(const AdminConfig& config, const std::vector<NewTopic>& topics, Duration timeout,
                    const Unwanted& is_unwanted) {
    std::vector<ToCreate> wanted;
    for (const auto& topic : topics) {
        std::array<char, 256> problem{};
        ToCreate one{rd_kafka_NewTopic_new(topic.name.c_str(), topic.partitions, topic.replication, problem.data(),
                                           problem.size())};
        if (!one) return Error{make_error_code(KafkaErrc{RD_KAFKA_RESP_ERR__INVALID_ARG}), problem.data()};
        for (const auto& [name, value] : topic.config)
            rd_kafka_NewTopic_set_config(one.get(), name.c_str(), value.c_str());
        wanted.push_back(std::move(one));
    }
    return ask(config, RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout, is_unwanted,
               [&](auto* client, auto* options, auto* queue) {
                   std::vector<rd_kafka_NewTopic_t*> pointers;
                   for (const auto& one : wanted) pointers.push_back(one.get());
                   rd_kafka_CreateTopics(client, pointers.data(), pointers.size(), options, queue);
                   return [](rd_kafka_event_t* event) {
                       std::size_t count = 0;
                       auto** const results =
                           rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
                       return outcome_of(Topics{results, count}, KafkaErrc::topic_already_exists);
                   };
               });
}

Result<void> remove(const AdminConfig& config, const std::vector<std::string>& names, Duration timeout,
                    const Unwanted& is_unwanted) {
    std::vector<ToDelete> unwanted;
    for (const auto& name : names) unwanted.emplace_back(rd_kafka_DeleteTopic_new(name.c_str()));
    return ask(config, RD_KAFKA_ADMIN_OP_DELETETOPICS, timeout, is_unwanted,
               [&](auto* client, auto* options, auto* queue) {
                   std::vector<rd_kafka_DeleteTopic_t*> pointers;
                   for (const auto& one : unwanted) pointers.push_back(one.get());
                   rd_kafka_DeleteTopics(client, pointers.data(), pointers.size(), options, queue);
                   return [](rd_kafka_event_t* event) {
                       std::size_t count = 0;
                       auto** const results =
                           rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
                       return outcome_of(Topics{results, count}, KafkaErrc::unknown_topic_or_partition);
                   };
               });
}

// A list of partitions, each with its own code.
Result<void> outcome_of(const rd_kafka_topic_partition_list_t& partitions) {
    std::vector<std::string> names;
    std::vector<TopicAnswer> answers;
    const std::span elements{partitions.elems, static_cast<std::size_t>(partitions.cnt)};
    for (const auto& each : elements)
        names.push_back(std::string{each.topic} + " partition " + std::to_string(each.partition));
    for (std::size_t index = 0; index < names.size(); ++index) {
        const auto code = elements[index].err;
        answers.push_back({names[index], KafkaErrc{code}, rd_kafka_err2str(code)});
    }
    return outcome_of(answers, KafkaErrc{});
}

Result<void> delete_before(const AdminConfig& config, const std::string& topic,
                           const std::vector<PartitionOffset>& before, Duration timeout, const Unwanted& is_unwanted) {
    if (before.empty()) return {};
    const Partitions places{rd_kafka_topic_partition_list_new(static_cast<int>(before.size()))};
    for (const auto& [partition, offset] : before)
        rd_kafka_topic_partition_list_add(places.get(), topic.c_str(), partition)->offset = offset;
    const RecordsToDelete unwanted{rd_kafka_DeleteRecords_new(places.get())};
    return ask(
        config, RD_KAFKA_ADMIN_OP_DELETERECORDS, timeout, is_unwanted, [&](auto* client, auto* options, auto* queue) {
            auto* pointer = unwanted.get();
            rd_kafka_DeleteRecords(client, &pointer, 1, options, queue);
            return [](rd_kafka_event_t* event) {
                return outcome_of(*rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event)));
            };
        });
}

// A client that looks at topics, and does not make one by asking for it.
class Onlooker {
  public:
    Onlooker(const AdminConfig& config, Duration timeout, const Unwanted& is_unwanted)
        : timeout_(timeout), end_(saturating_add(SteadyTime{}.now(), timeout)), is_unwanted_(is_unwanted) {
        auto conf = conf_of(config);
        conf.set("allow.auto.create.topics", std::string{"false"});
        rd_kafka_conf_set_opaque(conf.get(), &cause_);
        rd_kafka_conf_set_error_cb(conf.get(), note_problem);
        client_.reset(conf.open(RD_KAFKA_PRODUCER));
    }
    Onlooker(const Onlooker&) = delete;
    Onlooker& operator=(const Onlooker&) = delete;

    rd_kafka_t* client() const noexcept { return client_.get(); }

    // `call(timeout in ms)` again and again, until it ends otherwise than for want of a broker that answers.
    template <class Call>
    rd_kafka_resp_err_t look(Call call) {
        auto code = RD_KAFKA_RESP_ERR__TIMED_OUT;
        while (is_unreached(code) && !is_unwanted_ && SteadyTime{}.now() < end_) {
            code = call(to_milliseconds(look_up));
            // A client that has not connected yet says at once that it has no broker.
            rd_kafka_poll(client_.get(), code == RD_KAFKA_RESP_ERR__TRANSPORT ? to_milliseconds(look_up) : 0);
        }
        return code;
    }
    Error failure(const std::string& topic, rd_kafka_resp_err_t code) const {
        const auto what = "looking at topic " + topic;
        if (!is_unreached(code)) return Error{make_error_code(KafkaErrc{code}), what};
        const auto in_time = what + ": no answer within " + in_milliseconds(timeout_);
        if (const auto known = cause_.error()) return known->with_detail(in_time + "; " + std::string{known->detail()});
        return Error{make_error_code(KafkaErrc{RD_KAFKA_RESP_ERR__TIMED_OUT}), in_time};
    }

  private:
    static bool is_unreached(rd_kafka_resp_err_t code) noexcept {
        return code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT ||
               code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
    }

    const Duration timeout_;
    const TimePoint end_;
    const Unwanted& is_unwanted_;
    FailureCause cause_;
    Client client_; // after the cause, which it writes to
};

Result<std::vector<std::int32_t>> partitions(Onlooker& onlooker, const std::string& topic) {
    const Topic handle{rd_kafka_topic_new(onlooker.client(), topic.c_str(), nullptr)};
    const rd_kafka_metadata_t* found = nullptr;
    const auto code = onlooker.look(
        [&](int at_most) { return rd_kafka_metadata(onlooker.client(), 0, handle.get(), &found, at_most); });
    const Metadata metadata{found};
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return onlooker.failure(topic, code);
    if (metadata->topic_cnt != 1) return onlooker.failure(topic, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC);
    const auto& described = metadata->topics[0];
    if (described.err != RD_KAFKA_RESP_ERR_NO_ERROR) return onlooker.failure(topic, described.err);
    std::vector<std::int32_t> ids;
    for (const auto& partition : std::span{described.partitions, static_cast<std::size_t>(described.partition_cnt)})
        ids.push_back(partition.id);
    return ids;
}

Result<std::vector<OffsetRange>> offsets(const AdminConfig& config, const std::string& topic, Duration timeout,
                                         const Unwanted& is_unwanted) {
    Onlooker onlooker{config, timeout, is_unwanted};
    const auto ids = partitions(onlooker, topic);
    if (!ids) return ids.error();
    std::vector<OffsetRange> ranges;
    for (const auto id : *ids) {
        OffsetRange range{.partition = id};
        const auto code = onlooker.look([&](int at_most) {
            return rd_kafka_query_watermark_offsets(onlooker.client(), topic.c_str(), id, &range.first, &range.end,
                                                    at_most);
        });
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return onlooker.failure(topic, code);
        ranges.push_back(range);
    }
    return ranges;
}

Result<int> count_partitions(const AdminConfig& config, const std::string& topic, Duration timeout,
                             const Unwanted& is_unwanted) {
    Onlooker onlooker{config, timeout, is_unwanted};
    const auto ids = partitions(onlooker, topic);
    if (!ids) return ids.error();
    return static_cast<int>(ids->size());
}

using Settings = std::map<std::string, std::string>;

// Of the one topic that was asked for.
Result<Settings> settings_in(rd_kafka_event_t* event) {
    std::size_t count = 0;
    auto** const resources =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &count);
    if (count != 1) return Error{make_error_code(KafkaErrc{RD_KAFKA_RESP_ERR__BAD_MSG}), "settings of a topic"};
    if (const auto code = rd_kafka_ConfigResource_error(resources[0]))
        return Error{make_error_code(KafkaErrc{code}),
                     "settings of topic " + std::string{rd_kafka_ConfigResource_name(resources[0])}};
    Settings settings;
    auto** const entries = rd_kafka_ConfigResource_configs(resources[0], &count);
    for (const auto* entry : std::span{entries, count}) {
        const auto* const value = rd_kafka_ConfigEntry_value(entry);
        settings[rd_kafka_ConfigEntry_name(entry)] = value ? value : "";
    }
    return settings;
}

Result<Settings> settings(const AdminConfig& config, const std::string& topic, Duration timeout,
                          const Unwanted& is_unwanted) {
    const Resource resource{rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str())};
    return ask<Settings>(config, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout, is_unwanted,
                         [&](auto* client, auto* options, auto* queue) {
                             auto* pointer = resource.get();
                             rd_kafka_DescribeConfigs(client, &pointer, 1, options, queue);
                             return settings_in;
                         });
}

Result<std::vector<TopicDifference>> differences(const AdminConfig& config, const NewTopic& topic, Duration timeout,
                                                 const Unwanted& is_unwanted) {
    const auto end = saturating_add(SteadyTime{}.now(), timeout);
    const auto actual = settings(config, topic.name, timeout, is_unwanted);
    if (!actual) return actual.error();
    std::vector<TopicDifference> found;
    for (const auto& [name, wanted] : topic.config) {
        const auto there = actual->find(name);
        const auto value = there == actual->end() ? std::string{} : there->second;
        if (value != wanted) found.push_back({topic.name, name, wanted, value});
    }
    if (topic.partitions == -1) return found;
    const auto left = std::max<Duration>(end - SteadyTime{}.now(), Duration{0});
    const auto there = count_partitions(config, topic.name, left, is_unwanted);
    if (!there) return there.error();
    if (*there != topic.partitions)
        found.push_back({topic.name, "partitions", std::to_string(topic.partitions), std::to_string(*there)});
    return found;
}

Result<void> reach(const AdminConfig& config, Duration timeout, const Unwanted& is_unwanted) {
    const auto end = saturating_add(SteadyTime{}.now(), timeout);
    FailureCause cause;
    auto conf = conf_of(config);
    rd_kafka_conf_set_opaque(conf.get(), &cause);
    rd_kafka_conf_set_error_cb(conf.get(), note_problem);
    const Client client{conf.open(RD_KAFKA_PRODUCER)};
    const rd_kafka_metadata_t* found = nullptr;
    auto code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    // The client says that it has no broker as long as it has not connected yet.
    while (code != RD_KAFKA_RESP_ERR_NO_ERROR && !is_unwanted && SteadyTime{}.now() < end) {
        const auto left = std::min<Duration>(look_up, end - SteadyTime{}.now());
        code = rd_kafka_metadata(client.get(), 0, nullptr, &found, to_milliseconds(left));
        rd_kafka_poll(client.get(), code == RD_KAFKA_RESP_ERR__TRANSPORT ? to_milliseconds(left) : 0);
    }
    const Metadata metadata{found};
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
    const auto in_time = "no answer within " + in_milliseconds(timeout);
    if (const auto known = cause.error()) return known->with_detail(in_time + "; " + std::string{known->detail()});
    return Error{make_error_code(KafkaErrc{RD_KAFKA_RESP_ERR__TIMED_OUT}), in_time};
}

} // namespace

Admin::Admin(AdminConfig config) : config_(std::move(config)) {
    throw_if_any(conf_of(config_).problems());
}

asio::awaitable<Result<void>> Admin::create_topics(std::vector<NewTopic> topics, Duration timeout) const {
    return wait_for_answer_to(
        ask_in_background<void>([config = config_, topics = std::move(topics), timeout](const Unwanted& is_unwanted) {
            return create(config, topics, timeout, is_unwanted);
        }));
}

asio::awaitable<Result<void>> Admin::delete_topics(std::vector<std::string> names, Duration timeout) const {
    return wait_for_answer_to(
        ask_in_background<void>([config = config_, names = std::move(names), timeout](const Unwanted& is_unwanted) {
            return remove(config, names, timeout, is_unwanted);
        }));
}

asio::awaitable<Result<std::vector<TopicDifference>>> Admin::differences(NewTopic topic, Duration timeout) const {
    return wait_for_answer_to(ask_in_background<std::vector<TopicDifference>>(
        [config = config_, topic = std::move(topic), timeout](const Unwanted& is_unwanted) {
            return kafka::differences(config, topic, timeout, is_unwanted);
        }));
}

asio::awaitable<Result<void>> Admin::reach(Duration timeout) const {
    return wait_for_answer_to(ask_in_background<void>([config = config_, timeout](const Unwanted& is_unwanted) {
        return kafka::reach(config, timeout, is_unwanted);
    }));
}

asio::awaitable<Result<std::vector<OffsetRange>>> Admin::offsets(std::string topic, Duration timeout) const {
    return wait_for_answer_to(ask_in_background<std::vector<OffsetRange>>(
        [config = config_, topic = std::move(topic), timeout](const Unwanted& is_unwanted) {
            return kafka::offsets(config, topic, timeout, is_unwanted);
        }));
}

asio::awaitable<Result<int>> Admin::partitions(std::string topic, Duration timeout) const {
    return wait_for_answer_to(
        ask_in_background<int>([config = config_, topic = std::move(topic), timeout](const Unwanted& is_unwanted) {
            return count_partitions(config, topic, timeout, is_unwanted);
        }));
}

asio::awaitable<Result<void>> Admin::delete_records(std::string topic, std::vector<PartitionOffset> before,
                                                    Duration timeout) const {
    return wait_for_answer_to(ask_in_background<void>(
        [config = config_, topic = std::move(topic), before = std::move(before), timeout](const Unwanted& is_unwanted) {
            return delete_before(config, topic, before, timeout, is_unwanted);
        }));
}

} // namespace velostream::kafka
