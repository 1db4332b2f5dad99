// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <librdkafka/rdkafka.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core_deadline.hpp"
#include "event_signal.hpp"
#include "failure_cause.hpp"
#include "producer_session.hpp"
#include "send_operation.hpp"
#include "velostream/async/context_membership.hpp"
#include "velostream/async/deadline_wheel.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/kafka/producer.hpp"

namespace velostream::kafka::detail {

/// The producer itself; `Producer` is the handle that users hold. Everything runs on its executor.
///
/// A send waits for room (in `waiting_`), is handed over (known to the client library as the opaque pointer of its
/// message), has come back unwritten from a client that is being replaced (in `returned_`), or is done. "Attached"
/// means that its caller still waits. A send that is handed over keeps its share of the budget until its delivery
/// report, attached or not.
class ProducerCore final : public ContextMember, private ProducerSession::Listener, private EventSignal::Owner {
  public:
    /// For a producer that writes in transactions. Its client is not replaced after a fatal error: what was handed over
    /// belongs to a transaction, and that is over.
    struct Transactions : TransactionalIdentity {
        /// A record that was handed over may not have been written, or the client is broken: the open transaction must
        /// be aborted. Whether its records are sent again in another one. Called while events are served.
        std::function<bool(const Error&)> on_loss;
    };

    ProducerCore(asio::any_io_executor executor, const ProducerConfig& config, MemoryAccount account,
                 std::optional<Transactions> transactions = std::nullopt);
    ~ProducerCore() override;

    /// Once, when it has an owner.
    void join_context();

    SendOperation& allocate();
    /// Takes back what was allocated, and not started.
    void recycle(SendOperation& operation) noexcept;
    void start(SendOperation& operation, Outgoing record, const CallContext* call);
    /// The deadline of this send has passed.
    void expire(SendOperation& operation);
    /// Its caller cancels this send. Inside of the emission.
    void cancel(SendOperation& operation);

    /// Refuses new sends from now on, and shuts down when nothing is in progress or `grace` has passed.
    void begin_close(Duration grace);
    /// Ends everything at once; callers are told through their executors.
    void shut_down();
    /// Its owner ends: the same, and the execution context needs to know of it no longer.
    void retire();

    bool is_idle() const noexcept { return in_flight_ == 0 && waiting_.empty() && returned_.empty(); }
    bool is_closed() const noexcept { return state_ == State::closed; }
    WaitQueue& idle() noexcept { return idle_; }
    WaitQueue& closed() noexcept { return closed_; }
    void listen();
    /// Something has ended: whoever waits for the end of everything may go on, and nobody listens for nobody.
    void after_progress();

    ProducerStats stats() const;
    const std::shared_ptr<ProducerSession>& session() const noexcept { return session_; }
    /// Why the client cannot reach its brokers; nothing if it can.
    std::optional<Error> cause() const { return cause_.error(); }
    const asio::any_io_executor& executor() const noexcept { return executor_; }

  private:
    enum class State : std::uint8_t { open, closing, closed };

    // Sends
    void begin(SendOperation& operation, const CallContext* call);
    bool has_room_for(const SendOperation& operation) noexcept;
    bool charge(Bytes in_flight_bytes) noexcept;
    void give_memory_back() noexcept;
    bool hand_over(SendOperation& operation);
    bool try_again(SendOperation& operation, int refusal);
    ProducerSession* session_of_single_records();
    void hand_over_waiting();
    static void watch_cancellation(SendOperation& operation, const CallContext* call);
    void leave_queue(SendOperation& operation) noexcept;
    void release(SendOperation& operation) noexcept;
    void fail(SendOperation& operation, Error error, When when);
    void give_up(SendOperation& operation, Error error);

    // Events
    void on_events() override;
    bool on_report(const rd_kafka_message_t& report) noexcept override;
    void on_problem(int code, const char* text) noexcept override;
    void settle(SendOperation& operation, const rd_kafka_message_t& report);
    void settle_written(SendOperation& operation, const rd_kafka_message_t& report);
    void give_room_back(SendOperation& operation);
    bool is_wanted() const;

    static FailureCause::Send describe(const SendOperation& operation);
    Error failure_of(const SendOperation& operation, const rd_kafka_message_t& report, bool comes_again) const;

    // Life
    std::shared_ptr<ProducerSession> new_session();
    std::shared_ptr<ProducerSession> new_session_of_single_records();
    void begin_reopen();
    void reopen_when_empty();
    std::shared_ptr<ProducerCore> self() { return std::static_pointer_cast<ProducerCore>(shared_from_this()); }
    void disconnect() noexcept;
    bool detach() noexcept override;
    void drop() noexcept override;

    bool lose(const Error& error) const { return transactions_ && transactions_->on_loss(error); }

    const ProducerConfig config_;
    const std::optional<Transactions> transactions_;
    asio::any_io_executor executor_;
    ContextMembership membership_; // also what keeps this alive until it retires
    DeadlineTimer<> timer_;
    std::optional<EventSignal> signal_; // gone once closed
    std::shared_ptr<ProducerSession> session_;
    std::shared_ptr<ProducerSession> alone_; // for records whose batch was refused; null until there is one
    State state_ = State::open;
    // After a fatal error: the old client's records come back, and nothing is handed over until the last one has.
    bool is_reopening_ = false;

    std::vector<std::unique_ptr<SendOperation>> pool_;
    SendOperation* free_ = nullptr;
    SendQueue waiting_;
    SendQueue returned_; // while reopening: certainly not written, and still wanted
    std::size_t attached_ = 0;
    std::size_t in_flight_ = 0;
    Bytes in_flight_bytes_ = 0;
    MemoryAccount account_;
    // For in_flight_bytes_, and up to two blocks more; less only where a record went alone for want of memory.
    MemoryReservation charged_;
    std::size_t turns_refused_ = 0; // for which the account's last refusal still stands
    std::uint64_t next_sequence_ = 0;

    bool is_serving_ = false;   // reports are being served; handlers may call in
    std::exception_ptr thrown_; // by one of them
    FailureCause cause_;

    CoreDeadline<ProducerCore> close_deadline_;
    TimePoint close_at_{}; // while closing
    CoreDeadline<ProducerCore> reopen_deadline_;
    WaitQueue idle_;
    WaitQueue closed_;
    ProducerStats counts_;
};

} // namespace velostream::kafka::detail
