// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/system/errc.hpp>
#include <exception>
#include <functional>
#include <memory>
#include <utility>

#include "velostream/async/frame_memory.hpp"
#include "velostream/async/wait_queue.hpp"
#include "velostream/base/result.hpp"

namespace velostream::postgres {

using velostream::detail::own_frame;
using velostream::detail::OwnFrame;

/// Runs what may block, for as long as another machine pleases, on a thread of its own, which takes no signals. False
/// if too many of these threads are about, or another cannot be started. Nobody waits for them, the end of the program
/// included, so `work` must own what it uses.
///
/// Threads: safe.
bool run_aside(std::function<void()> work) noexcept;

/// How many of these threads there are at most.
inline constexpr int most_threads_aside = 16;

/// A question to something that blocks, and its answer.
template <class T>
class Aside {
  public:
    /// Asks now. What `question` throws is an answer, too.
    static std::shared_ptr<Aside> ask(std::function<Result<T>()> question) {
        auto aside = std::make_shared<Aside>();
        const bool is_asked = run_aside([aside, question = std::move(question)] {
            try {
                aside->answer_ = question();
            } catch (...) {
                aside->answer_ = Error::from_exception(std::current_exception());
            }
            aside->is_here_ = true;
            aside->waiters_.wake_all();
        });
        if (!is_asked) {
            aside->answer_ = Error{make_error_code(boost::system::errc::resource_unavailable_try_again)};
            aside->is_here_ = true;
        }
        return aside;
    }

    bool is_here() const noexcept { return is_here_; }

    /// Waits until the answer is here.
    ///
    /// Cancellation: all kinds; throws `operation_aborted`, and the question goes on.
    /// Lifetime:     `self` is kept.
    static asio::awaitable<Result<T>> answer(OwnFrame, std::shared_ptr<Aside> self) {
        const auto is_here = [aside = self.get()]() noexcept { return aside->is_here_.load(); };
        auto waiting = self->waiters_.async_wait_unless(is_here, asio::deferred);
        co_await std::move(waiting);
        co_return self->answer_;
    }

  private:
    WaitQueue waiters_;
    Result<T> answer_ = Error{};
    std::atomic<bool> is_here_ = false; // after which `answer_` is not written any more
};

} // namespace velostream::postgres
