// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "consumer_core.hpp"
#include "core_deadline.hpp"
#include "producer_core.hpp"
#include "transaction_calls.hpp"
#include "velostream/async/context_membership.hpp"
#include "velostream/async/deadline_wheel.hpp"
#include "velostream/async/wait_queue.hpp"
#include "velostream/kafka/exactly_once.hpp"

namespace velostream::kafka::detail {

/// The processor itself; `ExactlyOnceProcessor` is the handle that users hold. Everything runs on its executor, except
/// for the calls of `transaction_calls`.
///
/// A transaction is open at nearly all times. Its records are those whose handlers have started since it began; it is
/// committed when they have ended well and it is due. Whatever fails between leaves three wishes (`must_abort_`,
/// `must_reopen_`, `must_rewind_`), which `recover` fulfils before another handler starts. At most one of `commit` and
/// `recover` runs at a time; they are coroutines of their own, so that a caller may leave at any moment.
class ExactlyOnceCore final : public ContextMember, private RecordGate, private ConsumerCore::Keeper {
  public:
    ExactlyOnceCore(asio::any_io_executor executor, const ExactlyOnceConfig& config, MemoryAccount account);
    ~ExactlyOnceCore() override;

    /// Once, when it has an owner.
    void open();

    // The loop
    bool enter_loop() noexcept { return !std::exchange(is_in_loop_, true); }
    void leave_loop();
    void stop();
    asio::awaitable<Result<void>> prepare();
    std::shared_ptr<RecordLoop> open_records(const ForEachOptions& options);
    asio::awaitable<std::optional<Result<void>>> conclude(Result<void> ended);

    // Everybody
    ConsumerCore& consumer() const noexcept { return *consumer_; }
    ProducerCore& producer() const noexcept { return *producer_; }
    /// Whether what is sent now is part of a transaction.
    bool is_writable() const noexcept { return producer_ && open_ > 0 && !is_doomed(); }
    /// A dead letter was written.
    void note_letter(std::string_view id) { letters_.emplace(id); }
    bool has_uncommitted() const noexcept { return records_ > 0 || is_committing_ || must_rewind_; }
    std::vector<PartitionPosition> assignment() const;
    asio::awaitable<void> close(Duration at_most);
    /// Its owner ends.
    void retire() noexcept;
    ExactlyOnceStats stats() const;
    const asio::any_io_executor& executor() const noexcept { return executor_; }

  private:
    using Remedy = transaction_calls::Remedy;
    struct Doom {
        Error error;
        bool passes; // worth another try
    };

    // Records
    bool admits(const ConsumedRecord& record) override;
    void on_started(const ConsumedRecord& record) override;
    bool admits_again(const ConsumedRecord& record, const Error& error, bool has_written) override;
    void on_ended(const ConsumedRecord& record, bool is_done) override;
    bool is_doomed() const noexcept { return doom_.has_value(); }
    void on_due();
    void on_too_old();
    bool has_letter_of(const ConsumedRecord& record) const;
    void commit_if_due();
    void serve_records();

    // Transactions
    bool on_loss(const Error& error);
    void doom(Error error, bool passes);
    void note_failure(transaction_calls::Failure failure);
    void start_commit();
    asio::awaitable<void> commit();
    transaction_calls::Offsets offsets() const;
    void on_committed();
    void forget_records() noexcept;
    void forget_aborted() noexcept;
    bool passes(const Error& error) noexcept;
    bool is_ready() const noexcept { return producer_ && !must_abort_ && !must_reopen_ && !must_rewind_; }
    bool is_at_work() const noexcept { return is_committing_ || is_recovering_; }
    void abort_soon();
    void start_recovery();
    asio::awaitable<void> recover();
    asio::awaitable<void> abort_transaction();
    asio::awaitable<bool> reopen_producer();
    asio::awaitable<bool> rewind();
    asio::awaitable<void> pause_before_another_try();
    asio::awaitable<void> pause_unless_stopped();
    Duration next_pause() noexcept;
    void make_producer();
    void work_has_ended();

    // Partitions
    bool lets_go(bool is_lost) override;

    // Life
    void on_time() { changed_.wake_all(); }
    void end_work() noexcept;
    void end_producer() noexcept;
    std::shared_ptr<ExactlyOnceCore> self() { return std::static_pointer_cast<ExactlyOnceCore>(shared_from_this()); }
    bool detach() noexcept override;
    void drop() noexcept override;

    const ExactlyOnceConfig config_;
    asio::any_io_executor executor_;
    MemoryAccount account_;
    ContextMembership membership_; // also what keeps this alive until it retires
    DeadlineTimer<> timer_;
    std::shared_ptr<ConsumerCore> consumer_;
    std::shared_ptr<ProducerCore> producer_; // null until it was opened, and where it has to be replaced

    std::weak_ptr<RecordLoop> records_loop_;
    bool is_in_loop_ = false;
    std::size_t open_ = 0;    // handlers in progress
    std::size_t records_ = 0; // of this transaction
    Bytes bytes_ = 0;
    TimePoint began_{}; // with its first record
    bool is_due_ = false;
    bool has_failed_ = false;                    // one of its handlers, or a record was left that was held
    std::set<std::string, std::less<>> letters_; // the ids of its dead letters
    std::optional<Doom> doom_;                   // it can only be aborted

    bool must_abort_ = false;
    bool must_reopen_ = true; // there is no client yet
    bool must_rewind_ = false;
    std::optional<Error> hopeless_; // nothing more is tried before somebody was told
    bool is_told_ = false;          // the loop has ended with it
    bool is_committing_ = false;
    bool is_recovering_ = false;
    bool is_over_ = false;
    unsigned failures_in_a_row_ = 0;
    std::optional<std::uint64_t> damaged_; // the transaction since the last commit of which a batch was damaged first
    asio::cancellation_signal end_of_work_;
    WaitQueue changed_; // the loop, the commit or the recovery has ended, or somebody stops, or a time has come
    CoreDeadline<ExactlyOnceCore> due_;
    CoreDeadline<ExactlyOnceCore> too_old_;
    CoreDeadline<ExactlyOnceCore> pause_time_;
    CoreDeadline<ExactlyOnceCore> closing_time_;
    TimePoint closing_at_{};
    ExactlyOnceStats counts_;
};

} // namespace velostream::kafka::detail
