// SPDX-License-Identifier: Apache-2.0
// A server with so many workers behind a limit, and callers that always want more, in virtual time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <random>
#include <vector>

#include "velostream/core/concurrency_gradient.hpp"

namespace velostream::testing {

// A gradient and its window, put together as the policy does it, for one thread.
class GradientLimit {
  public:
    using Epoch = ConcurrencyGradient::Epoch;

    explicit GradientLimit(const AdaptiveLimitConfig& config) : gradient(config) {}

    Epoch begin() {
        ++in_use;
        return window.epoch();
    }
    void served(Epoch epoch, Duration latency) {
        const auto limit = static_cast<std::uint32_t>(gradient.limit());
        const auto crowding = crowding_of(in_use--, limit);
        switch (window.record(epoch, latency, crowding, gradient.window())) {
            case LatencyWindow<>::Recorded::late:
                ++late;
                break;
            case LatencyWindow<>::Recorded::complete:
                changed(gradient.on_window(window.samples()));
                break;
            case LatencyWindow<>::Recorded::counted:
                break;
        }
    }
    void dropped(Epoch epoch) {
        --in_use;
        if (epoch != window.epoch()) {
            ++late;
            return;
        }
        if (const auto change = gradient.on_drop(); change || gradient.epoch() != epoch) changed(change);
    }
    bool has_room() const { return in_use < gradient.limit(); }

    ConcurrencyGradient gradient;
    LatencyWindow<> window;
    std::vector<ConcurrencyGradient::Change> changes;
    std::uint32_t in_use = 0;
    std::uint64_t late = 0;

  private:
    void changed(const std::optional<ConcurrencyGradient::Change>& change) {
        if (change) changes.push_back(*change);
        window.begin(gradient.epoch());
    }
};

// Serves calls in the order in which they come, `workers` at a time, each for about `service`.
class SimulatedServer {
  public:
    SimulatedServer(std::size_t workers, Duration service) : service_(service), free_at_(workers, Duration{0}) {}

    void set_service(Duration service) { service_ = service; }
    // Calls vary by up to this share of the service time, evenly.
    void set_spread(double spread) { spread_ = spread; }

    // Runs until `now() + time`; there are always `demand` callers who want a call to run.
    void run(GradientLimit& limit, Duration time, std::size_t demand) {
        const auto end = now_ + time;
        served_ = 0;
        waited_ = Duration{0};
        most_at_once_ = 0;
        const auto began = now_;
        for (;;) {
            while (limit.in_use < demand && limit.has_room()) begin(limit);
            most_at_once_ = std::max<std::size_t>(most_at_once_, limit.in_use);
            if (calls_.empty() || calls_.top().ends > end) break;
            const auto call = calls_.top();
            calls_.pop();
            now_ = call.ends;
            ++served_;
            waited_ += call.ends - call.begins;
            limit.served(call.epoch, call.ends - call.begins);
        }
        now_ = end;
        ran_ = end - began;
    }

    // Of the last run.
    double throughput() const { return static_cast<double>(served_) / std::chrono::duration<double>(ran_).count(); }
    Duration mean_latency() const { return served_ > 0 ? waited_ / static_cast<Duration::rep>(served_) : Duration{0}; }
    std::size_t most_at_once() const { return most_at_once_; }
    // What it can do.
    double capacity() const {
        return static_cast<double>(free_at_.size()) / std::chrono::duration<double>(service_).count();
    }

  private:
    struct Call {
        Duration begins, ends;
        GradientLimit::Epoch epoch;
        bool operator>(const Call& other) const { return ends > other.ends; }
    };

    void begin(GradientLimit& limit) {
        const auto worker = std::ranges::min_element(free_at_);
        std::uniform_real_distribution<double> factor{1 - spread_, 1 + spread_};
        const Duration work{static_cast<Duration::rep>(static_cast<double>(service_.count()) * factor(random_))};
        *worker = std::max(*worker, now_) + work;
        calls_.push({now_, *worker, limit.begin()});
    }

    Duration service_, now_{0}, ran_{0}, waited_{0};
    double spread_ = 0;
    std::uint64_t served_ = 0;
    std::size_t most_at_once_ = 0;
    std::vector<Duration> free_at_;
    std::priority_queue<Call, std::vector<Call>, std::greater<>> calls_;
    std::mt19937_64 random_{1};
};

} // namespace velostream::testing
