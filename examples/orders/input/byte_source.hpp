// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
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
/// While a pipe is silent, here as in `read`, `is_unwanted` is asked whether to go on waiting.
velostream::Result<std::unique_ptr<ByteSource>> open_bytes(const std::string& path, std::function<bool()> is_unwanted);

} // namespace orders
