// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <utility>

#include "kafka_support.hpp"

namespace velostream::kafka {

/// Two members of a group that share its partitions, on the cluster of `Cluster`, a fixture with `io` and `partitions`.
template <class Cluster>
class GroupTest : public Cluster {
  protected:
    /// Hands what `consumer` gets to `handler`, until it is stopped.
    template <class Handler>
    void start_loop(Consumer& consumer, const ForEachOptions& options, Handler handler) {
        ++running;
        asio::co_spawn(this->io, consumer.for_each(options, std::move(handler)),
                       [this](const std::exception_ptr&, Result<void> result) {
                           EXPECT_TRUE(result);
                           --running;
                       });
    }

    asio::awaitable<void> end(Consumer& first, Consumer& second) {
        first.stop();
        second.stop();
        EXPECT_TRUE(co_await eventually([this] { return running == 0; }));
        co_await first.close();
        co_await second.close();
    }

    static bool share_the_partitions(const Consumer& first, const Consumer& second) {
        constexpr auto half = static_cast<std::size_t>(Cluster::partitions) / 2;
        return first.assignment().size() == half && second.assignment().size() == half;
    }

    int running = 0;
};

} // namespace velostream::kafka
