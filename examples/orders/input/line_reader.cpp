// SPDX-License-Identifier: Apache-2.0
#include "input/line_reader.hpp"

#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace orders {

using velostream::Result;

LineReader::LineReader(std::unique_ptr<Lines> lines, std::size_t most_bytes)
    : lines_(std::move(lines)), most_bytes_(most_bytes), thread_([this] { run(); }) {}

LineReader::~LineReader() {
    stop();
    thread_.join();
}

void LineReader::stop() {
    lines_->stop();
    {
        const std::lock_guard lock{mutex_};
        stopped_ = true;
    }
    room_.notify_one();
}

void LineReader::run() {
    std::size_t usual_bytes = 0;
    for (bool more = true; more;) {
        LineBatch batch;
        batch.reserve(LineBatch::usual_size, usual_bytes);
        std::optional<velostream::Error> failure;
        const auto read = lines_->read_some(batch, LineBatch::usual_size);
        if (!read) failure = read.error();
        more = read.has_value() && *read;
        usual_bytes = batch.size_bytes();
        {
            std::unique_lock lock{mutex_};
            room_.wait(lock,
                       [&] { return stopped_ || batches_.empty() || bytes_ + batch.size_bytes() <= most_bytes_; });
            more = more && !stopped_;
            bytes_ += batch.size_bytes();
            if (batch.size() > 0) batches_.push_back(std::move(batch));
            failure_ = failure;
            ended_ = !more;
        }
        available_.wake_one();
    }
}

// Woken for a batch that it took before it waited, it waits again: only `ended_` is the end.
asio::awaitable<Result<std::optional<LineBatch>>> LineReader::next() {
    const auto ready = [this] {
        const std::lock_guard lock{mutex_};
        return !batches_.empty() || ended_;
    };
    do co_await available_.async_wait_unless(ready, asio::use_awaitable);
    while (!ready());

    std::optional<LineBatch> batch;
    {
        const std::lock_guard lock{mutex_};
        if (batches_.empty() && failure_) co_return *failure_;
        if (batches_.empty()) co_return batch;
        batch = std::move(batches_.front());
        batches_.pop_front();
        bytes_ -= batch->size_bytes();
    }
    room_.notify_one();
    co_return batch;
}

} // namespace orders
