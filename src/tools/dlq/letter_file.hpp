// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "velostream/base/result.hpp"
#include "velostream/core/record_view.hpp"

namespace velostream::dlq {

// A file of letters has the format of a spool's file: the header, and a frame for each letter, numbered from 1 on. A
// last frame without a payload, numbered one higher, says that nothing is missing.

/// Writes a file of letters, for its owner only. Under its name there is the whole file, or whatever was there before:
/// it is written beside it, as `NAME.part-PID`, which goes with a program that is interrupted (SIGINT, SIGTERM,
/// SIGHUP). What is no file, such as a pipe, is written into as it is. One at a time in a program.
class LetterFileWriter {
  public:
    /// `path`: `-` is standard output.
    ///
    /// Errors: it cannot be written.
    static Result<LetterFileWriter> open(const std::string& path);
    LetterFileWriter(LetterFileWriter&&) noexcept = default;
    LetterFileWriter& operator=(LetterFileWriter&&) = delete;
    ~LetterFileWriter();

    /// Errors: of the disk, or who reads has gone.
    Result<void> add(const RecordView& letter);
    /// Success: all of it is on the disk, under its name, also if the power fails then; or is written, where that is no
    /// file.
    Result<void> finish();

    std::uint64_t count() const noexcept { return count_; }

  private:
    struct Close {
        void operator()(std::FILE* file) const noexcept {
            if (file != stdout) std::fclose(file);
        }
    };

    LetterFileWriter(std::string path, std::string part, std::FILE* file)
        : path_(std::move(path)), part_(std::move(part)), file_(file) {}
    Result<void> put(std::string_view payload);

    std::string path_, part_; // `part_` is empty where it is written in place
    std::unique_ptr<std::FILE, Close> file_;
    std::uint64_t count_ = 0;
    std::string frame_;
};

/// Reads a file of letters.
class LetterFileReader {
  public:
    /// `path`: `-` is standard input.
    ///
    /// Errors: it cannot be read, or is no file of letters.
    static Result<LetterFileReader> open(const std::string& path);

    /// The next letter's payload, as `SpooledRecord` reads it; nothing at the end. Valid until the next call.
    ///
    /// Errors: the file is damaged, or its end is missing. What came before was right.
    Result<std::optional<std::string_view>> next();

    std::uint64_t count() const noexcept { return count_; }

  private:
    struct Close {
        void operator()(std::FILE* file) const noexcept {
            if (file != stdin) std::fclose(file);
        }
    };

    LetterFileReader(std::string name, std::FILE* file) : name_(std::move(name)), file_(file) {}
    Result<void> fill(std::size_t wanted);
    Error damaged(std::string_view how) const;

    std::string name_;
    std::unique_ptr<std::FILE, Close> file_;
    std::string bytes_;
    std::size_t at_ = 0;       // in `bytes_`
    std::uint64_t passed_ = 0; // bytes of the file before `bytes_`
    std::uint64_t count_ = 0;
    bool is_at_end_ = false;
};

/// Reads a file through: how many letters it has.
///
/// Errors: as of `LetterFileReader`; a frame that is no letter.
Result<std::uint64_t> checked_letters(const std::string& path);

} // namespace velostream::dlq
