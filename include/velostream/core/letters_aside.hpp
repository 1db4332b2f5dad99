// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "velostream/base/error.hpp"
#include "velostream/core/spool_types.hpp"

namespace velostream::detail {

/// The letters of a spool that are themselves to blame when their deliveries fail, or whose topic is, and how often
/// each has failed.
///
/// Each is counted for itself: that others arrive says nothing about it. An alert is due when one has failed often
/// enough in a row, once for each cause, which is the code of the error that blames it: thousands of letters for a
/// topic that does not exist are one alert, and a letter that is too large for ever does not hide that the topic went
/// later. When one of them arrives, something was mended: if there was an alert, all others are counted anew.
///
/// Threads: one at a time.
class LettersAside {
  private:
    struct Letter {
        std::uint32_t failures = 0; // in a row
        boost::system::error_code cause;
    };
    using Letters = std::map<std::uint64_t, Letter>; // by their numbers in the spool

  public:
    struct Failure {
        std::uint32_t in_a_row; ///< of this letter, this one included
        bool is_alert;
    };
    /// One that was taken out, or none.
    using Taken = Letters::node_type;

    /// `failures_to_alert`: so many of one letter, at least 1.
    explicit LettersAside(std::uint32_t failures_to_alert) noexcept : failures_to_alert_(failures_to_alert) {}

    /// Whether the letter belongs here that failed with `error`.
    static bool is_to_blame(const Error& error) noexcept { return error.type() == ErrorType::bad_request; }

    std::size_t size() const noexcept { return letters_.size(); }
    bool empty() const noexcept { return letters_.empty(); }
    bool contains(std::uint64_t sequence) const { return letters_.contains(sequence); }
    /// Of the lowest number, and of the highest. There must be one.
    std::uint64_t first() const noexcept { return letters_.begin()->first; }
    std::uint64_t last() const noexcept { return letters_.rbegin()->first; }

    /// One more, which failed `failures` times in a row before its error blamed it. False if it is here.
    bool put(std::uint64_t sequence, std::uint32_t failures) {
        return letters_.try_emplace(sequence, Letter{.failures = failures, .cause = {}}).second;
    }
    /// It has failed, with whatever error. Nothing if it is not here.
    std::optional<Failure> on_failed(std::uint64_t sequence, const Error& error) {
        const auto found = letters_.find(sequence);
        if (found == letters_.end()) return std::nullopt;
        auto& letter = found->second;
        if (letter.failures != std::numeric_limits<std::uint32_t>::max()) ++letter.failures;
        if (is_to_blame(error)) letter.cause = error.code();
        const bool is_alert = letter.failures >= failures_to_alert_ && told_.insert(letter.cause).second;
        return Failure{letter.failures, is_alert};
    }

    /// Out, if it is here: it has arrived, and `on_arrived` follows, or `put_back` if that could not be written down.
    Taken take(std::uint64_t sequence) noexcept { return letters_.extract(sequence); }
    void put_back(Taken letter) noexcept { letters_.insert(std::move(letter)); }
    void on_arrived(const Taken& letter) noexcept {
        if (letter.empty() || told_.empty()) return;
        told_.clear();
        for (auto& [sequence, other] : letters_) other.failures = 0;
    }

    /// Forgets those that should be among `read`, which come behind number `after`, and can be read no more.
    void forget_missing(std::uint64_t after, const std::vector<SpoolEntry>& read) {
        const auto before = letters_.size();
        auto entry = read.begin();
        for (auto letter = letters_.upper_bound(after); letter != letters_.end();) {
            if (!read.empty() && letter->first > read.back().sequence) break;
            while (entry != read.end() && entry->sequence < letter->first) ++entry;
            const bool is_there = entry != read.end() && entry->sequence == letter->first;
            letter = is_there ? std::next(letter) : letters_.erase(letter);
        }
        if (letters_.size() == before) return;
        std::erase_if(told_, [this](const auto& cause) {
            return std::ranges::none_of(letters_, [&](const auto& letter) { return letter.second.cause == cause; });
        });
    }

  private:
    const std::uint32_t failures_to_alert_;
    Letters letters_;
    std::set<boost::system::error_code> told_; // the causes of which there was an alert
};

} // namespace velostream::detail
