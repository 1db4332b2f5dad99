// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <memory>

namespace velostream::kafka {

namespace asio = boost::asio;

/// How the client library's queues wake a handle on its executor. All signals of an execution context share one eventfd
/// and one Asio descriptor, which are there from the first one's beginning to the last one's end.
///
/// It wakes when it listens and one of its queues has something. After a wake, poll every queue until it has nothing
/// more: what is left wakes it again as soon as it listens.
///
/// Errors:   where a wake finds no memory, its context's `run` throws `std::bad_alloc`, and the next turn tries again.
///           Where the wait for the next one finds none either, every signal of the context rests.
/// Threads:  it belongs to its executor.
/// Lifetime: it must end before its execution context.
class EventSignal {
    class Hub;

  public:
    /// Who is woken, on the executor.
    class Owner {
      public:
        virtual void on_events() = 0;

      protected:
        ~Owner() = default;
    };

    /// A queue that wakes a signal, as long as both are there.
    class Connection {
      public:
        Connection(EventSignal& signal, rd_kafka_queue_t* queue) noexcept;
        Connection(const Connection&) = delete;
        Connection& operator=(const Connection&) = delete;
        ~Connection();

      private:
        friend EventSignal;

        const std::shared_ptr<Hub> hub_; // whose eventfd the queue writes to
        rd_kafka_queue_t* const queue_;
        // Guarded by the hub's mutex:
        EventSignal* signal_; // null once it is gone
        Connection* next_ = nullptr;
    };

    /// Throws `std::system_error` if the process has no file descriptor left.
    EventSignal(const asio::any_io_executor& executor, Owner& owner);
    EventSignal(const EventSignal&) = delete;
    EventSignal& operator=(const EventSignal&) = delete;
    ~EventSignal();

    /// Lets one wake come, which may be due already; never inside this call. Its context has work until then. Throws
    /// `std::bad_alloc`, and then none comes.
    void listen() {
        if (state_.load(std::memory_order_relaxed) == State::resting) begin_to_listen();
    }
    /// The context needs not go on for it. A wake that is on its way comes.
    void rest() noexcept {
        if (state_.load(std::memory_order_relaxed) == State::listening) stop_listening();
    }

  private:
    class Service;
    // With the hub's mutex it goes from listening to ringing on any thread, and back or to resting where there is no
    // memory; else it changes on the executor only.
    enum class State : std::uint8_t { resting, listening, ringing };

    bool has_something() const noexcept;
    void begin_to_listen();
    void stop_listening() noexcept;
    void ring();

    Owner& owner_;
    const asio::any_io_executor executor_;
    const std::shared_ptr<Hub> hub_;
    const std::shared_ptr<EventSignal*> self_; // to null once this is gone; for the wake that is on its way
    std::atomic<State> state_ = State::resting;
    // Guarded by the hub's mutex:
    Connection* connections_ = nullptr;
    EventSignal* previous_ = nullptr; // among those that listen
    EventSignal* next_ = nullptr;
};

} // namespace velostream::kafka
