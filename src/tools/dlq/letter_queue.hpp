// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tools/dlq/letter.hpp"
#include "tools/dlq/letters.hpp"
#include "tools/dlq/spool_segment.hpp"
#include "velostream/base/result.hpp"
#include "velostream/kafka/consumer.hpp"

namespace velostream::dlq {

namespace asio = boost::asio;

/// Letters to be worked off, in their order, which remembers what is done: whoever comes later goes on from there.
///
/// Threads: one at a time.
class LetterQueue {
  public:
    virtual ~LetterQueue() = default;

    /// The next letters, valid until the next call; none at the end, after `stop`, or where it cannot be remembered
    /// what is done: `finish` says so.
    virtual asio::awaitable<Result<std::span<const Letter>>> next() = 0;
    /// A letter of the last call of `next`, by its index, has been dealt with: it needs not come again.
    virtual void done(std::size_t index) = 0;
    /// Nothing is to be done with the letter: it stays where it is, and where a group remembers what is done, it does
    /// not come again.
    virtual void leave(std::size_t index) = 0;
    /// What is done is remembered when this has ended well.
    virtual asio::awaitable<Result<void>> finish() = 0;
    /// No more letters; ends a `next` that waits.
    virtual void stop() = 0;
    /// Letters passed, and letters in all; 0 where nobody knows.
    virtual std::pair<std::uint64_t, std::uint64_t> progress() const = 0;
};

/// The letters that a topic holds now, read as a member of a consumer group, whose offsets remember what is done.
class TopicQueue final : public LetterQueue {
  public:
    /// Throws `std::invalid_argument` where cluster or group are not legal.
    TopicQueue(asio::io_context& io, Cluster cluster, std::string topic, std::string group);

    asio::awaitable<Result<std::span<const Letter>>> next() override;
    void done(std::size_t index) override { consumer_->done(batch_[index]); }
    void leave(std::size_t index) override { done(index); }
    asio::awaitable<Result<void>> finish() override;
    void stop() override;
    std::pair<std::uint64_t, std::uint64_t> progress() const override;

  private:
    Result<void> open(std::vector<kafka::OffsetRange> ranges);
    Result<void> check_remembered(std::span<const kafka::PartitionPosition> positions) const;
    bool is_over();
    asio::awaitable<void> watch();
    void keep_known(kafka::RecordBatch& batch);

    asio::io_context& io_;
    const Cluster cluster_;
    const std::string topic_, group_;
    std::optional<kafka::Consumer> consumer_;
    asio::steady_timer tick_;
    std::map<std::int32_t, kafka::OffsetRange> ranges_; // what is there to be read; `first` moves on
    std::uint64_t whole_ = 0;
    kafka::RecordBatch batch_;
    std::vector<Letter> letters_;
    TimePoint waits_since_{};
    bool is_waiting_ = false, is_stopped_ = false;
    std::optional<Error> failure_;
};

/// The letters of a spool that nobody else has; what is done is taken away from it. Of a damaged file of which anything
/// is done, a copy stays aside.
class SpoolQueue final : public LetterQueue {
  public:
    /// A file in which something was passed over, and how much.
    struct Damage {
        std::string name;
        Bytes bytes = 0;
    };

    /// Errors: those of `LockedSpool::open`, and of listing it.
    static Result<SpoolQueue> open(const std::string& spool);

    asio::awaitable<Result<std::span<const Letter>>> next() override;
    void done(std::size_t index) override { done_[of_letter_[index]] = true; }
    void leave(std::size_t) override {}
    asio::awaitable<Result<void>> finish() override;
    void stop() override { is_stopped_ = true; }
    std::pair<std::uint64_t, std::uint64_t> progress() const override { return {passed_, 0}; }

    const std::vector<Damage>& damage() const noexcept { return damage_; }

  private:
    SpoolQueue(LockedSpool spool, std::vector<std::string> names)
        : spool_(std::move(spool)), names_(std::move(names)) {}
    Result<void> leave_segment();

    LockedSpool spool_;
    std::vector<std::string> names_;
    std::size_t next_name_ = 0;
    std::optional<Segment> segment_;
    std::vector<SpooledRecord> records_;
    std::vector<Letter> letters_;
    std::vector<std::size_t> of_letter_; // which frame of the segment it is
    std::vector<bool> done_;             // frames
    bool is_damaged_ = false;            // the segment
    std::vector<Damage> damage_;
    std::optional<Error> failure_; // what is done could not be taken away
    std::uint64_t passed_ = 0;
    bool is_stopped_ = false;
};

} // namespace velostream::dlq
