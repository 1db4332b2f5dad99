// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "velostream/base/result.hpp"

namespace orders {

/// Where the raw bytes of an input come from.
class ByteSource {
  public:
    virtual ~ByteSource() = default;
    /// Up to `capacity` bytes into `buffer`; 0 at the end. Error: `Errc::cancelled` if it was stopped before the end.
    virtual velostream::Result<std::size_t> read(char* buffer, std::size_t capacity) = 0;
    /// How much of the input was read, 0 to 1; nothing where its length is unknown.
    virtual std::optional<double> progress() const = 0;
};

/// Opens a file or standard input (`-`). Packed by zstd or not is told by the first bytes, whatever the name says.
/// `stopped` ends a wait for a silent pipe, here as in `read`.
velostream::Result<std::unique_ptr<ByteSource>> open_bytes(const std::string& path, const std::atomic<bool>& stopped);

} // namespace orders
