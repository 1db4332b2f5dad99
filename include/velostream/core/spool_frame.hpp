// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "velostream/core/record_view.hpp"

namespace velostream {

/// What a spool file consists of: a file header, then frames, one behind the other, each of them
///
///     magic (4 bytes) | length of the payload (4) | checksum (4) | sequence number (8) | payload
///
/// Numbers are little-endian. The checksum is a CRC-32C of length, number and payload, so a frame that was moved, torn
/// or changed in one bit is none.
namespace spool_format {

inline constexpr std::string_view file_header{"VELOSPL\1", 8}; ///< the last byte is the version
inline constexpr std::size_t frame_header_size = 20;
/// What a frame can carry. A Kafka record is smaller by far.
inline constexpr std::size_t largest_payload = std::size_t{256} * 1024 * 1024;

/// CRC-32C (Castagnoli), as RFC 3720 has it, of `bytes` behind what `before` is the checksum of.
std::uint32_t crc32c(std::string_view bytes, std::uint32_t before = 0) noexcept;

/// Appends a frame to `file`. `payload` must not be larger than `largest_payload`.
void append_frame(std::string& file, std::uint64_t sequence, std::string_view payload);

/// A frame, in place.
struct Frame {
    std::uint64_t sequence = 0;
    std::string_view payload;

    std::size_t size() const noexcept { return frame_header_size + payload.size(); }
};

/// How large the frame is that `bytes` seem to begin with; nothing if they begin with none.
std::optional<std::size_t> frame_size(std::string_view bytes) noexcept;

/// The frame that `bytes` begin with, if it is whole and right.
std::optional<Frame> read_frame(std::string_view bytes) noexcept;

/// Where in `bytes` the first whole and right frame begins; their size if there is none.
std::size_t find_frame(std::string_view bytes) noexcept;

} // namespace spool_format

/// A record as it lies in a spool.
///
/// Lifetime: `record` looks into the payload that it was read from, and into `headers`.
class SpooledRecord {
  public:
    /// What `record` is as a payload, every byte of it: null and empty differ, headers keep their order and duplicates.
    static std::string encoded(const RecordView& record);

    /// Empty if the payload is not one of these.
    static std::optional<SpooledRecord> decoded(std::string_view payload);

    SpooledRecord(SpooledRecord&&) noexcept = default; // the elements of a vector keep their place
    SpooledRecord& operator=(SpooledRecord&&) noexcept = default;

    const RecordView& record() const noexcept { return record_; }

  private:
    SpooledRecord() = default;

    std::vector<HeaderView> headers_;
    RecordView record_;
};

} // namespace velostream
