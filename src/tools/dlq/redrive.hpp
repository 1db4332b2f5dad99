// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "tools/dlq/letter_queue.hpp"
#include "tools/dlq/redrive_rules.hpp"
#include "tools/dlq/sender.hpp"
#include "velostream/base/result.hpp"
#include "velostream/kafka/record.hpp"

namespace velostream::dlq {

/// What has become of the letters that were read.
struct RedriveFigures {
    std::uint64_t read = 0;
    std::uint64_t sent = 0;           ///< and acknowledged; in a dry run: would be sent
    std::uint64_t filtered = 0;       ///< not asked for
    std::uint64_t over_limit = 0;     ///< came back as often as they may, and stay
    std::uint64_t without_record = 0; ///< stay, since there is nothing to send
    std::uint64_t without_topic = 0;  ///< stay, since nobody knows where to
    std::uint64_t failed = 0;         ///< not written, or perhaps written: they come again
    std::uint64_t held_back = 0;      ///< come again: behind a failed one of the same key, or not begun
};

/// Where records are sent: `Sender::send`.
using SendRecords = std::function<asio::awaitable<void>(std::span<const kafka::Record> records,
                                                        const std::function<bool()>& goes_on, const SendEnded& ended)>;

struct RedriveOptions {
    RedriveRules rules;
    std::uint64_t canary = 10;         ///< so many must be acknowledged before the others are sent
    std::optional<std::uint64_t> most; ///< letters to be sent
    bool dry_run = false;
};

/// Sends dead letters back.
///
/// Records of one key go one after the other, in their order; after a failed one, none of that key follows. A failure
/// that does not blame the record, such as brokers that cannot be reached, ends the whole run, and so does any failure
/// among the canaries. A letter is done when its record is acknowledged, or when it stays for good; not before.
class Redrive {
  public:
    Redrive(RedriveOptions options, LetterQueue& letters, SendRecords send)
        : options_(std::move(options)), letters_(letters), send_(std::move(send)) {}

    /// Success: every letter that was to be sent is acknowledged.
    ///
    /// Errors: reading failed; else what ended the run, or of failed records the first.
    asio::awaitable<Result<void>> run();

    /// Ends it: what was begun is finished.
    void interrupt();

    const RedriveFigures& figures() const noexcept { return figures_; }
    bool was_interrupted() const noexcept { return is_interrupted_; }
    /// Whether it was reading that failed.
    bool could_not_read() const noexcept { return could_not_read_; }

    /// Called whenever something has been done.
    std::function<void()> on_progress = [] {};

  private:
    asio::awaitable<void> work_off(std::span<const Letter> letters);
    asio::awaitable<void> send(std::span<const Letter> letters, std::span<const std::size_t> wanted);
    void ended(const Letter& letter, std::size_t index, const std::optional<OrderKey>& key,
               const Result<kafka::Delivery>& sent);
    std::vector<std::size_t> sort_out(std::span<const Letter> letters);
    bool goes_on() const noexcept { return !is_interrupted_ && !stopped_by_; }
    std::uint64_t tried() const noexcept { return figures_.sent + figures_.failed; }

    const RedriveOptions options_;
    LetterQueue& letters_;
    const SendRecords send_;
    RedriveFigures figures_;
    std::set<OrderKey> stopped_keys_;
    std::optional<Error> first_error_, stopped_by_;
    bool is_interrupted_ = false, could_not_read_ = false;
};

} // namespace velostream::dlq
