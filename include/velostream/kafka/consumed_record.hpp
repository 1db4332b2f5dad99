// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "velostream/base/units.hpp"
#include "velostream/core/record_view.hpp"
#include "velostream/kafka/record.hpp"

namespace velostream::kafka {

namespace detail {
class AssignedPartition;
}

/// A record as it was read: views into the client's memory, nothing copied. Move-only.
///
/// Threads:  belongs to one thread or coroutine at a time; may be destroyed on any.
/// Lifetime: the views are valid while this object, or what it was moved to, lives. It keeps the fetch buffer that it
///           came in; it may outlive its consumer.
class ConsumedRecord {
  public:
    /// `message` is the client library's; this object destroys it.
    ConsumedRecord(void* message, std::shared_ptr<detail::AssignedPartition> partition, std::uint64_t sequence) noexcept
        : message_(message), partition_(std::move(partition)), sequence_(sequence) {}
    ConsumedRecord(ConsumedRecord&& other) noexcept
        : message_(std::exchange(other.message_, nullptr)),
          partition_(std::move(other.partition_)),
          sequence_(other.sequence_) {}
    ConsumedRecord& operator=(ConsumedRecord&& other) noexcept {
        ConsumedRecord taken{std::move(other)};
        std::swap(message_, taken.message_);
        std::swap(partition_, taken.partition_);
        std::swap(sequence_, taken.sequence_);
        return *this;
    }
    ~ConsumedRecord() {
        if (message_) destroy();
    }

    std::string_view topic() const noexcept;
    std::int32_t partition() const noexcept;
    std::int64_t offset() const noexcept;
    std::optional<WallTime> timestamp() const noexcept;
    TimestampType timestamp_type() const noexcept;
    NullableBytes key() const noexcept;
    NullableBytes value() const noexcept;
    HeadersView headers() const noexcept;

    /// As `Record::size_bytes`.
    Bytes size_bytes() const noexcept;

    /// A copy of it, to the same topic and partition with the same timestamp. Change what should differ before it is
    /// sent on.
    Record to_record() const;

  private:
    friend class Consumer;
    friend class detail::AssignedPartition;
    void destroy() noexcept;

    void* message_;
    std::shared_ptr<detail::AssignedPartition> partition_;
    std::uint64_t sequence_; // the place in the order in which the partition was read
};

/// The record as the dead letter queue sees it.
RecordView record_view(const ConsumedRecord& record) noexcept;

} // namespace velostream::kafka
