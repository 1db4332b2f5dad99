// SPDX-License-Identifier: Apache-2.0
#include "input/lines.hpp"

#include <algorithm>
#include <vector>

#include "input/byte_source.hpp"
#include "input/csv.hpp"
#include "input/generator.hpp"
#include "input/input_error.hpp"
#include "order_line.hpp"

namespace orders {

using velostream::Result;

namespace {

constexpr std::size_t block_size = 256 * 1024;
// A line, its key, which is a part of it, and what is read ahead then fit beside the totals: these may have three
// quarters of the limit.
constexpr std::uint64_t longest_line_share = 16;

bool is_header(std::string_view line) {
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (line.starts_with(byte_order_mark)) line.remove_prefix(byte_order_mark.size());
    const RecordFields expected{header_line};
    const RecordFields found{line};
    if (found.count() != expected.count()) return false;
    for (std::size_t column = 0; column < expected.count(); ++column)
        if (found[column] != expected[column]) return false;
    return true;
}

class FileLines final : public Lines {
  public:
    FileLines(const Options& options, const StopSignals& stop)
        : stop_(stop),
          path_(options.input),
          name_(path_ == "-" ? "standard input" : path_),
          longest_(std::min<std::uint64_t>(RecordSplitter::longest_record,
                                           options.memory_mb * velostream::mebibyte / longest_line_share)),
          block_(block_size) {}

    Result<void> open() {
        auto bytes = open_bytes(path_, [this] { return is_unwanted(); });
        if (!bytes) return bytes.error();
        bytes_ = std::move(*bytes);
        const auto header = next_line(true);
        if (!header) return header.error();
        if (*header && is_header(**header)) return {};
        if (!*header && is_unwanted()) return velostream::Error{velostream::Errc::cancelled};
        return unreadable(name_, "the first line must be " + std::string{header_line});
    }

    Result<bool> read_some(LineBatch& batch, std::size_t most) override {
        while (batch.size() < most) {
            const auto line = next_line(batch.size() == 0);
            if (!line) return line.error();
            if (!*line) break;
            batch.append(**line);
        }
        return batch.size() > 0;
    }
    std::optional<double> progress() const override { return bytes_->progress(); }

  private:
    bool is_unwanted() const { return is_stopped() || stop_.requested(); }

    // Nothing at the end, and where the next line has not come and `waits` is false.
    Result<std::optional<std::string_view>> next_line(bool waits) {
        for (;;) {
            if (const auto record = splitter_.next()) {
                ++lines_;
                if (record->size() > longest_) return too_long(lines_);
                return std::optional{*record};
            }
            if (splitter_.overlong()) return too_long(lines_ + 1);
            if (ended_ || !waits) return std::optional<std::string_view>{};
            auto got = bytes_->read(block_.data(), block_.size());
            if (!got && got.error() == velostream::Errc::cancelled)
                return std::optional<std::string_view>{}; // mid-line
            if (!got) return got.error();
            ended_ = *got == 0;
            if (ended_)
                splitter_.finish();
            else
                splitter_.feed({block_.data(), *got});
        }
    }

    velostream::Error too_long(std::uint64_t line) const {
        const bool is_for_memory = longest_ < RecordSplitter::longest_record;
        return unreadable(name_, "line " + std::to_string(line) + " is longer than " + std::to_string(longest_) +
                                     (is_for_memory ? " bytes, which is all that --memory-mb has room for"
                                                    : " bytes: a quote that is never closed?"));
    }

    const StopSignals& stop_;
    std::string path_, name_;
    std::uint64_t longest_;
    std::unique_ptr<ByteSource> bytes_;
    RecordSplitter splitter_;
    std::vector<char> block_;
    std::uint64_t lines_ = 0;
    bool ended_ = false;
};

class GeneratedLines final : public Lines {
  public:
    explicit GeneratedLines(const Options& options)
        : generator_(*options.generate, options.customers, options.seed), total_(*options.generate) {}

    Result<bool> read_some(LineBatch& batch, std::size_t most) override {
        for (; batch.size() < most && !generator_.done(); ++made_) batch.append(generator_.next());
        return batch.size() > 0;
    }
    std::optional<double> progress() const override { return static_cast<double>(made_) / static_cast<double>(total_); }

  private:
    OrderGenerator generator_;
    std::uint64_t total_;
    std::atomic<std::uint64_t> made_{0};
};

} // namespace

Result<std::unique_ptr<Lines>> open_lines(const Options& options, const StopSignals& stop) {
    if (options.generate) return std::unique_ptr<Lines>{std::make_unique<GeneratedLines>(options)};
    auto file = std::make_unique<FileLines>(options, stop);
    if (const auto opened = file->open(); !opened) return opened.error();
    return std::unique_ptr<Lines>{std::move(file)};
}

Result<std::uint64_t> count_lines(const Options& options, const StopSignals& stop) {
    if (options.generate) return *options.generate;
    auto lines = open_lines(options, stop);
    if (!lines) return lines.error();
    std::uint64_t count = 0;
    while (!stop.requested()) {
        LineBatch batch;
        const auto more = (*lines)->read_some(batch, LineBatch::usual_size);
        if (!more) return more.error();
        if (!*more) return count;
        count += batch.size();
    }
    return velostream::Error{velostream::Errc::cancelled};
}

} // namespace orders
