// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace velostream::postgres {

/// Which statements a session has prepared, by their text, and which it has to give up: the one used longest ago for
/// one too many. Numbers are never used twice, so that what is on its way cannot be taken for another.
class StatementCache {
  public:
    using Number = std::uint64_t;

    explicit StatementCache(std::size_t capacity) noexcept : capacity_(capacity) {}

    bool is_off() const noexcept { return capacity_ == 0; }
    std::size_t size() const noexcept { return entries_.size(); }

    /// The number of this statement, which is the one used last from now on.
    std::optional<Number> find(std::string_view sql);

    /// A number for one that is not here, and is being prepared.
    Number add(std::string sql);

    /// It could not be prepared, or must be prepared again. If `is_there` the server has something by its number.
    void forget(Number number, bool is_there);

    /// The server has none of them any more.
    void clear() noexcept;

    /// Those that the server can forget.
    const std::vector<Number>& given_up() const noexcept { return given_up_; }
    void clear_given_up() noexcept { given_up_.clear(); }

  private:
    struct Entry {
        std::string sql;
        Number number;
    };
    using Entries = std::list<Entry>;

    void remove(Entries::iterator entry);

    const std::size_t capacity_;
    Number last_ = 0;
    Entries entries_; // the one used last comes first
    std::unordered_map<std::string_view, Entries::iterator> by_sql_;
    std::vector<Number> given_up_;
};

} // namespace velostream::postgres
