// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <librdkafka/rdkafka.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <utility>

namespace velostream::kafka {

namespace asio = boost::asio;

/// The eventfd through which the client library's queues wake an executor. One serves any number of queues.
///
/// A queue writes it when it stops being empty, once until it is polled again: after a wake, poll every queue until it
/// has nothing more, or do not wait.
class EventSignal {
  public:
    /// Throws `std::system_error` if the process has no file descriptor left.
    explicit EventSignal(const asio::any_io_executor& executor);

    /// Wakes at once, since the queue may hold something already.
    void connect(rd_kafka_queue_t* queue) const noexcept;
    static void disconnect(rd_kafka_queue_t* queue) noexcept { rd_kafka_queue_io_event_enable(queue, -1, nullptr, 0); }

    /// Takes back the wakes so far. Before polling.
    void clear() noexcept;

    template <class Handler>
    void async_wait(Handler&& handler) {
        descriptor_.async_wait(asio::posix::stream_descriptor::wait_read, std::forward<Handler>(handler));
    }
    void cancel() noexcept {
        boost::system::error_code ignored;
        descriptor_.cancel(ignored);
    }

  private:
    asio::posix::stream_descriptor descriptor_;
};

} // namespace velostream::kafka
