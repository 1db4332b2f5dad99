// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "input/lines.hpp"
#include "velostream/async/wait_queue.hpp"
#include "velostream/base/result.hpp"

namespace orders {

namespace asio = boost::asio;

/// Reads order lines on a thread of its own, a little ahead, so that a slow disk or pipe never holds the program.
class LineReader {
  public:
    /// Keeps up to `most_bytes` of lines that nobody took yet; a larger batch is kept alone.
    LineReader(std::unique_ptr<Lines> lines, std::size_t most_bytes);
    ~LineReader();
    LineReader(const LineReader&) = delete;
    LineReader& operator=(const LineReader&) = delete;

    /// The next lines; nothing at the end. Called by one coroutine at a time.
    asio::awaitable<velostream::Result<std::optional<LineBatch>>> next();

    /// No more lines are wanted: `next` ends after those that were read.
    void stop();

    std::optional<double> progress() const { return lines_->progress(); }

  private:
    void run();

    std::unique_ptr<Lines> lines_;
    const std::size_t most_bytes_;
    velostream::WaitQueue available_; // whoever waits for a batch or the end
    std::mutex mutex_;
    std::condition_variable room_;
    std::deque<LineBatch> batches_;            // guarded by mutex_, as all below
    std::size_t bytes_ = 0;                    // of batches_
    std::optional<velostream::Error> failure_; // why the input ended early
    bool ended_ = false;                       // nothing comes after batches_
    bool stopped_ = false;
    std::thread thread_;
};

} // namespace orders
