// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fstream>
#include <optional>
#include <string>

namespace orders {

/// A file that the job writes to. Whether it can be written is known from the start, but what an older file holds stays
/// until there is something to put in its place, and a new one does not exist before.
class OutputFile {
  public:
    /// Without a path it is no file: writable, and what is written goes nowhere.
    explicit OutputFile(std::optional<std::string> path);
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    bool is_writable() const { return writable_; }
    /// Whether `path` names the same file: a regular one, which writing would change under its reader.
    bool is(const std::string& path) const;

    /// Puts `text` in place of the file: all of it, or the older file stays. True if it is there.
    bool replace_by(const std::string& text);

    /// Empties the file and writes piece by piece. Null without a path.
    std::ofstream* begin();
    /// True if all that was written is in the file, or nothing was.
    bool finish();

  private:
    std::optional<std::string> path_;
    bool writable_ = true;
    std::ofstream stream_;
};

} // namespace orders
