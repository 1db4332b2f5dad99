// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>

namespace velostream {

/// Bytes that may be absent. Null and empty differ: a null value deletes a key in a compacted topic, an empty one does
/// not.
using NullableBytes = std::optional<std::string_view>;

/// A point of wall-clock time as Kafka counts it. It is carried and shown; nothing is decided by it but when a record
/// of a retry topic is due.
using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;

/// Who set the timestamp of a record.
enum class TimestampType : std::uint8_t {
    not_available,   ///< nobody
    create_time,     ///< the producer
    log_append_time, ///< the broker
};

/// Kafka's own word: `NoTimestampType`, `CreateTime` or `LogAppendTime`.
std::string_view to_string(TimestampType type) noexcept;

struct HeaderView {
    std::string_view name;
    NullableBytes value;

    friend bool operator==(const HeaderView&, const HeaderView&) = default;
};

/// The headers of a record in their order, duplicates included, read in place from wherever they are kept.
///
/// Lifetime: the container that it was made from must outlive it and keep its place.
class HeadersView {
  public:
    /// No headers.
    HeadersView() noexcept = default;

    explicit(false) HeadersView(std::span<const HeaderView> headers) noexcept
        : container_(headers.data()), size_(headers.size()), at_([](const void* container, std::size_t index) {
              return static_cast<const HeaderView*>(container)[index];
          }) {}

    /// Headers kept in a type of the user's own. `At` is a lambda without captures, `(const Container&, index)`, that
    /// returns the `HeaderView` of one header.
    template <class Container, class At>
        requires std::is_invocable_r_v<HeaderView, At, const Container&, std::size_t> && std::is_empty_v<At>
    HeadersView(const Container& container, std::size_t size, At) noexcept
        : container_(&container), size_(size), at_([](const void* erased, std::size_t index) -> HeaderView {
              return At{}(*static_cast<const Container*>(erased), index);
          }) {}

    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    HeaderView operator[](std::size_t index) const { return at_(container_, index); }

    class Iterator {
      public:
        using difference_type = std::ptrdiff_t;
        using value_type = HeaderView;

        Iterator() = default;
        Iterator(const HeadersView* headers, std::size_t index) noexcept : headers_(headers), index_(index) {}
        HeaderView operator*() const { return (*headers_)[index_]; }
        Iterator& operator++() noexcept {
            ++index_;
            return *this;
        }
        Iterator operator++(int) noexcept {
            auto before = *this;
            ++index_;
            return before;
        }
        friend bool operator==(const Iterator&, const Iterator&) = default;

      private:
        const HeadersView* headers_ = nullptr;
        std::size_t index_ = 0;
    };

    Iterator begin() const noexcept { return {this, 0}; }
    Iterator end() const noexcept { return {this, size_}; }

  private:
    const void* container_ = nullptr;
    std::size_t size_ = 0;
    HeaderView (*at_)(const void*, std::size_t) = nullptr;
};

/// A record of any library or user, seen without copying a byte of it.
///
/// Lifetime: valid while the record it was made from lives and is not changed.
struct RecordView {
    std::string_view topic;      ///< where it was read; empty if nobody knows
    std::int32_t partition = -1; ///< -1 if nobody knows
    std::int64_t offset = -1;    ///< -1 if nobody knows
    NullableBytes key = std::nullopt;
    NullableBytes value = std::nullopt;
    HeadersView headers = {};
    std::optional<WallTime> timestamp = std::nullopt;
    TimestampType timestamp_type = TimestampType::not_available;
};

inline const RecordView& record_view(const RecordView& record) noexcept {
    return record;
}

/// A record that can be dead-lettered: `record_view(record)` gives a `RecordView`. For a type of your own, write that
/// function beside the type, in its namespace.
template <class Record>
concept ViewableRecord = requires(const Record& record) {
    { record_view(record) } -> std::convertible_to<RecordView>;
};

} // namespace velostream
