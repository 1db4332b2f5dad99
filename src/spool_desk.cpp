// SPDX-License-Identifier: Apache-2.0
#include "velostream/spool_desk.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <string_view>

#include "spool_log.hpp"

namespace velostream::detail {

namespace {

constexpr std::size_t most_at_once = 4096;
constexpr Bytes most_bytes_at_once = Bytes{4} << 20;

} // namespace

SpoolDesk::SpoolDesk(SpoolLog log, asio::any_io_executor disk)
    : disk_(std::move(disk)), log_(std::make_unique<SpoolLog>(std::move(log))), stats_(log_->get_stats()) {}

SpoolDesk::~SpoolDesk() = default;

void SpoolDesk::append(std::shared_ptr<SpoolAppend> request) noexcept {
    try {
        const std::scoped_lock lock{mutex_};
        arrivals_.push_back(request);
        ++appending_;
        locked_wake();
    } catch (...) { // where it lies in the line already it is dropped there
        request->answer(Error::from_exception(std::current_exception()));
    }
}

void SpoolDesk::read(std::shared_ptr<SpoolRead> request) noexcept {
    try {
        const std::scoped_lock lock{mutex_};
        reads_.push_back(request);
        locked_wake();
    } catch (...) {
        request->answer(Error::from_exception(std::current_exception()));
    }
}

void SpoolDesk::done(std::uint64_t sequence) {
    const std::scoped_lock lock{mutex_};
    done_.push_back(sequence);
    ++being_done_;
    try {
        locked_wake();
    } catch (...) { // it is known: the next request takes it along
    }
}

void SpoolDesk::look() noexcept {
    const std::scoped_lock lock{mutex_};
    try {
        locked_wake();
    } catch (...) { // then its place stays taken until the next request
    }
}

SpoolStats SpoolDesk::get_stats() const {
    const std::scoped_lock lock{mutex_};
    return stats_;
}

std::uint64_t SpoolDesk::waiting() const {
    const std::scoped_lock lock{mutex_};
    const auto all = stats_.waiting + appending_;
    return all - std::min(all, being_done_); // of a damaged file some may be gone that were read
}

std::optional<Error> SpoolDesk::why_full() const {
    const std::scoped_lock lock{mutex_};
    return why_full_;
}

void SpoolDesk::locked_wake() {
    has_news_ = true;
    if (is_working_) return;
    asio::post(disk_, [self = shared_from_this()] { self->work(); });
    is_working_ = true;
}

void SpoolDesk::work() noexcept {
    for (Work work;; work = {}) {
        try {
            if (!take(work)) return;
            carry_out(work);
        } catch (
            ...) { // for want of memory: what was not answered is given up, and the line waits for the next request
            const auto why = Error::from_exception(std::current_exception());
            for (const auto& read : work.reads) read->answer(why);
            is_full_ = true;
            publish();
        }
    }
}

/// False if there is nothing to do.
bool SpoolDesk::take(Work& work) {
    const std::scoped_lock lock{mutex_};
    const bool can_append = !line_.empty() && !is_full_;
    if (!std::exchange(has_news_, false) && !can_append) return is_working_ = false;
    work.done.swap(done_);
    work.reads.swap(reads_);
    line_.insert(line_.end(), arrivals_.begin(), arrivals_.end());
    arrivals_.clear();
    return true;
}

void SpoolDesk::carry_out(Work& work) {
    for (const auto sequence : work.done) {
        try {
            static_cast<void>(log_->done(sequence));
        } catch (...) { // a file that stays is tried again
        }
    }
    for (auto& read : work.reads) {
        if (read->has_ended()) continue;
        SpoolBatch batch{.entries = {}, .next = read->from};
        auto entries = log_->read(batch.next, read->most);
        if (entries) {
            batch.entries = std::move(*entries);
            read->answer(std::move(batch));
        } else {
            read->answer(entries.error());
        }
    }
    publish(); // what was read may have been damaged
    std::erase_if(line_, [](const auto& request) { return request->has_ended(); });
    append_batch();
}

void SpoolDesk::append_batch() {
    const auto count = static_cast<std::ptrdiff_t>(fitting());
    const Appends batch{line_.begin(), line_.begin() + count};
    const auto first = count == 0 ? Result<std::uint64_t>{0} : append(batch);
    line_.erase(line_.begin(), line_.begin() + count);
    publish();
    std::uint64_t index = 0;
    for (const auto& request : batch)
        request->answer(first ? Result<std::uint64_t>{*first + index++} : Result<std::uint64_t>{first.error()});
    if (count != 0 && first && on_appended_) on_appended_();
}

Result<std::uint64_t> SpoolDesk::append(const Appends& batch) {
    try {
        std::vector<std::string_view> payloads;
        payloads.reserve(batch.size());
        for (const auto& request : batch) payloads.emplace_back(request->payload);
        return log_->append(payloads);
    } catch (...) {
        return Error::from_exception(std::current_exception());
    }
}

/// How many of the first ones make a batch that there is room for. Those that there will never be room for are refused.
std::size_t SpoolDesk::fitting() {
    for (;;) {
        std::size_t count = 0;
        Bytes bytes = 0;
        Result<void> room;
        for (const auto& request : line_) {
            const auto size = request->payload.size();
            if (count == most_at_once || (count != 0 && bytes + size > most_bytes_at_once)) break;
            if (auto possible = log_->check_payload(size); !possible) {
                if (count == 0) room = possible;
                break;
            }
            bytes += size;
            ++count;
        }
        const bool is_refused = !room;
        if (room && count != 0) room = log_->check_room(count, bytes);
        while (!room && count > 1) {
            for (const auto half = count / 2; count > half; --count) bytes -= line_[count - 1]->payload.size();
            room = log_->check_room(count, bytes);
        }
        is_full_ = !room && !is_refused && room.error() == Errc::disk_quota_exceeded;
        {
            const std::scoped_lock lock{mutex_};
            why_full_ = is_full_ ? std::optional{room.error()} : std::nullopt;
        }
        if (room) return count;
        if (is_full_) return 0;
        const auto refused = std::move(line_.front());
        line_.pop_front();
        publish();
        refused->answer(room.error());
    }
}

/// Whenever something has changed that others see.
void SpoolDesk::publish() {
    const auto stats = log_->get_stats();
    const std::scoped_lock lock{mutex_};
    stats_ = stats;
    appending_ = arrivals_.size() + line_.size();
    being_done_ = done_.size();
}

} // namespace velostream::detail
