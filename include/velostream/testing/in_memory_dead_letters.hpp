// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "velostream/dead_letter_queue.hpp"

namespace velostream::testing {

/// A dead letter as it lies in memory: a copy of all its bytes.
struct KeptDeadLetter {
    struct Header {
        std::string name;
        std::optional<std::string> value;
        friend bool operator==(const Header&, const Header&) = default;
    };

    explicit KeptDeadLetter(const DeadLetter& letter);

    /// The value of the last header of that name; null without such a header or if its value is null.
    std::optional<std::string> header(std::string_view name) const;

    std::string topic;
    std::optional<std::string> key, value;
    std::vector<Header> headers;
    WallTime timestamp;
    std::int32_t source_partition;
    std::string id;
};

/// One call of `store`.
struct Delivery {
    std::string id;
    std::uint32_t attempt;
    TimePoint deadline;
};

/// A sink for tests: keeps dead letters in memory, and fails or waits when it is told to.
///
/// `InMemoryDeadLetters dead_letters; DeadLetterQueue queue{config, dead_letters};`: copies are handles of one store,
/// so the test goes on using its own.
///
/// Threads: safe.
class InMemoryDeadLetters {
  public:
    InMemoryDeadLetters();

    /// The next `times` deliveries end with `error` and store nothing.
    void fail_next(Error error, std::size_t times = 1);
    /// Deliveries wait from now on, whatever their deadline, until `release()` or cancellation.
    void hold();
    /// Those that wait go on; later ones do not wait.
    void release();

    /// What is stored, in order of arrival.
    std::vector<KeptDeadLetter> letters() const;
    /// What was tried, failed and waiting deliveries included, in order.
    std::vector<Delivery> deliveries() const;

    asio::awaitable<Result<DeadLetterReceipt>> store(const DeadLetter& letter, CallContext& call);

  private:
    struct State;
    std::shared_ptr<State> state_;
};

} // namespace velostream::testing
