// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/admin.hpp"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>
#include <span>

#include "background.hpp"
#include "client_conf.hpp"
#include "failure_cause.hpp"
#include "topic_answers.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/async/wait_queue.hpp"

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

using Unwanted = std::atomic<bool>;
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
template <class Ask>
Result<void> ask(const AdminConfig& config, rd_kafka_admin_op_t operation, Duration timeout,
                 const Unwanted& is_unwanted, Ask ask_for) {
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

// `call(timeout in ms)` again and again until it ends otherwise than by its timeout.
template <class Call>
rd_kafka_resp_err_t call_until(TimePoint end, const Unwanted& is_unwanted, Call call) {
    auto code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    while (code == RD_KAFKA_RESP_ERR__TIMED_OUT && !is_unwanted && SteadyTime{}.now() < end)
        code = call(to_milliseconds(look_up));
    return code;
}

Result<std::vector<OffsetRange>> offsets(const AdminConfig& config, const std::string& topic, Duration timeout,
                                         const Unwanted& is_unwanted) {
    const auto end = saturating_add(SteadyTime{}.now(), timeout);
    const Client client{conf_of(config).open(RD_KAFKA_PRODUCER)};
    const auto failed = [&](rd_kafka_resp_err_t code) {
        return Error{make_error_code(KafkaErrc{code}), "offsets of topic " + topic};
    };
    const Topic handle{rd_kafka_topic_new(client.get(), topic.c_str(), nullptr)};
    const rd_kafka_metadata_t* found = nullptr;
    auto code = call_until(end, is_unwanted, [&](int at_most) {
        return rd_kafka_metadata(client.get(), 0, handle.get(), &found, at_most);
    });
    const Metadata metadata{found};
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return failed(code);
    if (metadata->topic_cnt != 1) return failed(RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC);
    const auto& described = metadata->topics[0];
    if (described.err != RD_KAFKA_RESP_ERR_NO_ERROR) return failed(described.err);

    std::vector<OffsetRange> ranges;
    for (const auto& partition : std::span{described.partitions, static_cast<std::size_t>(described.partition_cnt)}) {
        OffsetRange range{.partition = partition.id};
        code = call_until(end, is_unwanted, [&](int at_most) {
            return rd_kafka_query_watermark_offsets(client.get(), topic.c_str(), partition.id, &range.first, &range.end,
                                                    at_most);
        });
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return failed(code);
        ranges.push_back(range);
    }
    return ranges;
}

template <class T>
struct Answer {
    WaitQueue waiters;
    Result<T> result; // written before `is_here`
    std::atomic<bool> is_here = false;
    Unwanted is_unwanted = false;
};

// Whoever waits for an answer. When he goes, the thread that waits for it at the brokers does, too.
template <class T>
class Asker {
  public:
    explicit Asker(std::shared_ptr<Answer<T>> answer) noexcept : answer_(std::move(answer)) {}
    Asker(Asker&&) noexcept = default;
    ~Asker() {
        if (answer_) answer_->is_unwanted = true;
    }

    Answer<T>& answer() const noexcept { return *answer_; }

  private:
    std::shared_ptr<Answer<T>> answer_;
};

template <class T>
Asker<T> ask_in_background(std::function<Result<T>(const Unwanted&)> question) {
    auto answer = std::make_shared<Answer<T>>();
    run_in_background([answer, question = std::move(question)] {
        try {
            answer->result = question(answer->is_unwanted);
        } catch (...) {
            answer->result = Error::from_exception(std::current_exception());
        }
        answer->is_here = true;
        answer->waiters.wake_all();
    });
    return Asker<T>{std::move(answer)};
}

template <class T>
asio::awaitable<Result<T>> wait_for_answer_to(Asker<T> asker) {
    auto& answer = asker.answer();
    const auto is_here = [expected = &answer]() noexcept { return expected->is_here.load(); };
    co_await answer.waiters.async_wait_unless(is_here, asio::use_awaitable);
    co_return answer.result;
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

asio::awaitable<Result<std::vector<OffsetRange>>> Admin::offsets(std::string topic, Duration timeout) const {
    return wait_for_answer_to(ask_in_background<std::vector<OffsetRange>>(
        [config = config_, topic = std::move(topic), timeout](const Unwanted& is_unwanted) {
            return kafka::offsets(config, topic, timeout, is_unwanted);
        }));
}

} // namespace velostream::kafka
