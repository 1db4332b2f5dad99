// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <limits>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "spool_log.hpp"
#include "tools/dlq/blocking.hpp"
#include "tools/dlq/commands.hpp"
#include "tools/dlq/counted.hpp"
#include "tools/dlq/letter_file.hpp"
#include "tools/dlq/progress.hpp"
#include "tools/dlq/sender.hpp"

namespace velostream::dlq {

namespace {

namespace asio = boost::asio;

// What is read before it is written: of so many letters, or bytes.
constexpr std::size_t batch_letters = 1000;
constexpr Bytes batch_bytes = 16 * mebibyte;

/// The next letters of a file; none at its end.
Result<std::vector<std::string>> next_batch(LetterFileReader& file) {
    std::vector<std::string> payloads;
    for (Bytes bytes = 0; payloads.size() < batch_letters && bytes < batch_bytes;) {
        const auto payload = file.next();
        if (!payload) return payload.error();
        if (!*payload) break;
        if (!SpooledRecord::decoded(**payload))
            return Error{make_error_code(boost::system::errc::illegal_byte_sequence),
                         "letter " + std::to_string(file.count()) + " cannot be understood"};
        bytes += (*payload)->size();
        payloads.emplace_back(**payload);
    }
    return payloads;
}

/// A letter as it is written into a topic of so many partitions.
kafka::Record record_of(const RecordView& letter, const std::string& topic, std::int32_t partitions) {
    kafka::Record record{topic, copy_of(letter.key), copy_of(letter.value)};
    if (letter.partition >= 0) record.partition = letter.partition % partitions;
    record.timestamp = letter.timestamp;
    record.headers.reserve(letter.headers.size());
    for (const auto& header : letter.headers)
        record.headers.emplace_back(std::string{header.name}, copy_of(header.value));
    return record;
}

/// Where letters are imported to.
class Target {
  public:
    virtual ~Target() = default;
    /// All of them, in their order.
    virtual Result<void> write(const std::vector<std::string>& payloads) = 0;
    std::uint64_t count() const noexcept { return count_; }

  protected:
    std::uint64_t count_ = 0; // written
};

class TopicTarget final : public Target {
  public:
    TopicTarget(const Source& source, std::int32_t partitions)
        : topic_(source.topic), partitions_(partitions), sender_(io_, source.cluster, std::nullopt) {}
    ~TopicTarget() override {
        io_.restart();
        boost::asio::co_spawn(io_, sender_.close(), [this](const std::exception_ptr&) { io_.stop(); });
        io_.run();
    }

    Result<void> write(const std::vector<std::string>& payloads) override {
        std::vector<kafka::Record> records;
        for (const auto& payload : payloads)
            records.push_back(record_of(SpooledRecord::decoded(payload)->record(), topic_, partitions_));
        std::optional<Error> first_error;
        const std::function<bool()> goes_on = [&first_error] { return !first_error; };
        const SendEnded ended = [&](std::size_t, const Result<kafka::Delivery>& sent) {
            if (sent)
                ++count_;
            else if (!first_error)
                first_error = sent.error();
        };
        std::exception_ptr thrown;
        io_.restart();
        boost::asio::co_spawn(io_, sender_.send(records, goes_on, ended), [&](std::exception_ptr problem) {
            thrown = std::move(problem);
            io_.stop();
        });
        io_.run();
        if (thrown) std::rethrow_exception(thrown);
        if (first_error) return *first_error;
        return {};
    }

  private:
    const std::string topic_;
    const std::int32_t partitions_;
    asio::io_context io_{1};
    Sender sender_;
};

class SpoolTarget final : public Target {
  public:
    explicit SpoolTarget(SpoolLog log) : log_(std::move(log)) {}

    Result<void> write(const std::vector<std::string>& payloads) override {
        const std::vector<std::string_view> views{payloads.begin(), payloads.end()};
        const auto appended = log_.append(views);
        if (!appended) return appended.error();
        count_ += payloads.size();
        return {};
    }

  private:
    SpoolLog log_;
};

Result<std::unique_ptr<Target>> open_target(const Source& source) {
    if (source.is_topic()) {
        const auto partitions = ranges_of(source.cluster, source.topic);
        if (!partitions) return partitions.error();
        return std::make_unique<TopicTarget>(source, static_cast<std::int32_t>(partitions->size()));
    }
    auto files = open_spool_folder(source.spool);
    if (!files) return files.error();
    auto log = SpoolLog::open(std::move(*files), {.max_size = std::numeric_limits<Bytes>::max()});
    if (!log) return log.error();
    return std::make_unique<SpoolTarget>(std::move(*log));
}

} // namespace

Ended export_letters(const Options& options) {
    auto file = LetterFileWriter::open(options.file);
    if (!file) return ended_with(failed_command, file.error());
    Result<void> written;
    const auto read = read_letters(options.source, options.filter, [&](const Letter& letter, const DeadLetterFacts&) {
        written = file->add(letter.record);
        return written.has_value();
    });
    if (!read) return ended_with(unreadable_input, read.error());
    if (written) written = file->finish();
    if (!written) return ended_with(failed_command, written.error());
    const bool is_on_output = options.file == "-";
    std::fprintf(is_on_output ? stderr : stdout, "exported %s\n", counted(file->count(), "letter").c_str());
    return {};
}

Ended import_letters(const Options& options) {
    // What can be read twice is read through before the first letter is written.
    std::error_code ignored;
    const bool is_seekable = options.file != "-" && std::filesystem::is_regular_file(options.file, ignored);
    std::uint64_t whole = 0;
    if (is_seekable) {
        const auto checked = checked_letters(options.file);
        if (!checked) return ended_with(unreadable_input, checked.error());
        whole = *checked;
    }
    auto file = LetterFileReader::open(options.file);
    if (!file) return ended_with(unreadable_input, file.error());
    const auto target = open_target(options.source);
    if (!target) return ended_with(failed_command, target.error());

    Progress progress{"import"};
    const auto so_far = [&target](const Error& error) {
        return error.message() + "; " + counted((*target)->count(), "letter") + " were imported";
    };
    for (;;) {
        const auto batch = next_batch(*file);
        if (!batch) return {unreadable_input, so_far(batch.error())};
        if (batch->empty()) break;
        const auto written = (*target)->write(*batch);
        if (!written) return {failed_command, so_far(written.error())};
        progress.show((*target)->count(), whole);
    }
    progress.clear();
    std::printf("imported %s into %s\n", counted((*target)->count(), "letter").c_str(), options.source.text().c_str());
    return {};
}

} // namespace velostream::dlq
