// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/mock_cluster.hpp"

#include <librdkafka/rdkafka.h>
// librdkafka asks for this order
#include <librdkafka/rdkafka_mock.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "async/background.hpp"
#include "async/without_signals.hpp"

namespace velostream::kafka {

namespace {

constexpr int most_partitions = 10'000;

bool is_topic_name(std::string_view name) noexcept {
    constexpr std::size_t longest = 249;
    constexpr std::string_view legal{"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"};
    return !name.empty() && name.size() <= longest && name.find_first_not_of(legal) == std::string_view::npos;
}

constexpr std::int16_t produce_api = 0;

// Answers prepared in advance, drawn anew all the time by a thread of its own: the cluster has no hook for a request
// that arrives, and does not say how many prepared answers are left.
class FailureFeed {
  public:
    FailureFeed(rd_kafka_mock_cluster_t* cluster, double rate, std::uint64_t seed, std::vector<KafkaErrc> codes)
        : cluster_(cluster), fails_(rate), random_(seed), codes_(std::move(codes)) {
        draw();
        const WithoutSignals for_the_thread;
        thread_ = std::jthread([this](const std::stop_token& stop) {
            std::mutex mutex;
            std::condition_variable_any stopped;
            std::unique_lock lock{mutex};
            while (!stopped.wait_for(lock, stop, interval, [&stop] { return stop.stop_requested(); })) draw();
        });
    }

    ~FailureFeed() {
        thread_.request_stop();
        thread_.join();
        rd_kafka_mock_clear_request_errors(cluster_, produce_api);
    }

  private:
    static constexpr std::size_t requests_per_interval = 1024;
    static constexpr auto interval = std::chrono::milliseconds{20};

    void draw() {
        for (auto& answer : answers_) {
            answer = RD_KAFKA_RESP_ERR_NO_ERROR;
            if (fails_(random_)) answer = static_cast<rd_kafka_resp_err_t>(codes_[random_() % codes_.size()]);
        }
        rd_kafka_mock_clear_request_errors(cluster_, produce_api);
        rd_kafka_mock_push_request_errors_array(cluster_, produce_api, answers_.size(), answers_.data());
    }

    rd_kafka_mock_cluster_t* cluster_;
    std::bernoulli_distribution fails_;
    std::mt19937_64 random_;
    std::vector<KafkaErrc> codes_;
    std::array<rd_kafka_resp_err_t, requests_per_interval> answers_{};
    std::jthread thread_;
};

} // namespace

class MockCluster::State {
  public:
    explicit State(int broker_count) : brokers(broker_count) {
        if (broker_count < 1) throw std::runtime_error{"mock cluster: it needs at least one broker"};
        auto* conf = rd_kafka_conf_new();
        rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t*, int, const char*, const char*) {});
        std::array<char, 256> problem{};
        begin_background();
        host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, problem.data(), problem.size());
        if (!host) {
            rd_kafka_conf_destroy(conf);
            throw std::runtime_error{"mock cluster: " + std::string{problem.data()}};
        }
        {
            const WithoutSignals for_its_thread;
            cluster = rd_kafka_mock_cluster_new(host, broker_count);
        }
        if (!cluster) {
            rd_kafka_destroy(host);
            throw std::runtime_error{"mock cluster: it needs a free port for each broker"};
        }
        bootstrap_servers = rd_kafka_mock_cluster_bootstraps(cluster);
    }

    ~State() {
        feed.reset();
        run_in_background([host = host, cluster = cluster] {
            rd_kafka_mock_cluster_destroy(cluster);
            rd_kafka_destroy(host);
        });
    }

    State(const State&) = delete;
    State& operator=(const State&) = delete;

    int brokers;
    rd_kafka_t* host = nullptr;
    rd_kafka_mock_cluster_t* cluster = nullptr;
    std::string bootstrap_servers;
    std::mutex mutex; // guards `feed`
    std::unique_ptr<FailureFeed> feed;
};

namespace {

constexpr int every_broker = -1;

} // namespace

MockCluster::MockCluster(int brokers) : state_(std::make_unique<State>(brokers)) {}
MockCluster::MockCluster(MockCluster&&) noexcept = default;
MockCluster& MockCluster::operator=(MockCluster&&) noexcept = default;
MockCluster::~MockCluster() = default;

const std::string& MockCluster::bootstrap_servers() const noexcept {
    return state_->bootstrap_servers;
}

int MockCluster::brokers() const noexcept {
    return state_->brokers;
}

// The client library's cluster looks at neither, and ends the program where it cannot go on.
Result<void> MockCluster::create_topic(std::string_view name, int partitions) {
    const std::string topic{name};
    if (!is_topic_name(name))
        return Error{make_error_code(static_cast<KafkaErrc>(RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION)),
                     "topic '" + topic + "': must be 1 to 249 of the characters a-z A-Z 0-9 . _ -"};
    if (partitions < 1 || partitions > most_partitions)
        return Error{make_error_code(static_cast<KafkaErrc>(RD_KAFKA_RESP_ERR_INVALID_PARTITIONS)),
                     "topic " + topic + ": " + std::to_string(partitions) + " partitions: must be 1 to " +
                         std::to_string(most_partitions)};
    const auto code = rd_kafka_mock_topic_create(state_->cluster, topic.c_str(), partitions, state_->brokers);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
    return Error{make_error_code(static_cast<KafkaErrc>(code)), "topic " + topic};
}

void MockCluster::broker_down(int broker) {
    rd_kafka_mock_broker_set_down(state_->cluster, broker);
}

void MockCluster::broker_up(int broker) {
    rd_kafka_mock_broker_set_up(state_->cluster, broker);
}

void MockCluster::all_brokers_down() {
    broker_down(every_broker);
}

void MockCluster::all_brokers_up() {
    broker_up(every_broker);
}

void MockCluster::set_round_trip_time(Duration delay) {
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(delay).count();
    rd_kafka_mock_broker_set_rtt(state_->cluster, every_broker, static_cast<int>(milliseconds));
}

void MockCluster::fail_next_produce_requests(std::span<const KafkaErrc> codes) {
    std::vector<rd_kafka_resp_err_t> answers;
    answers.reserve(codes.size());
    for (const auto code : codes) answers.push_back(static_cast<rd_kafka_resp_err_t>(code));
    rd_kafka_mock_push_request_errors_array(state_->cluster, produce_api, answers.size(), answers.data());
}

void MockCluster::fail_next_produce_requests(std::initializer_list<KafkaErrc> codes) {
    fail_next_produce_requests(std::span{codes.begin(), codes.size()});
}

void MockCluster::fail_produce_requests(double rate, std::uint64_t seed, std::vector<KafkaErrc> codes) {
    const std::lock_guard lock{state_->mutex};
    state_->feed.reset();
    if (rate > 0 && !codes.empty())
        state_->feed = std::make_unique<FailureFeed>(state_->cluster, std::min(rate, 1.0), seed, std::move(codes));
}

} // namespace velostream::kafka
