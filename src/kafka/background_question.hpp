// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <functional>
#include <memory>
#include <utility>

#include "async/background.hpp"
#include "velostream/async/wait_queue.hpp"
#include "velostream/base/result.hpp"

namespace velostream::kafka {

/// True once nobody waits for the answer any more.
using Unwanted = std::atomic<bool>;

template <class T>
struct Answer {
    WaitQueue waiters;
    Result<T> result; // written before `is_here`
    std::atomic<bool> is_here = false;
    Unwanted is_unwanted = false;
};

/// Whoever waits for an answer. When he goes, the thread that waits for it at the brokers does, too.
template <class T>
class Asker {
  public:
    explicit Asker(std::shared_ptr<Answer<T>> answer) noexcept : answer_(std::move(answer)) {}
    Asker(Asker&&) noexcept = default;
    ~Asker() {
        if (answer_) answer_->is_unwanted = true;
    }

    Answer<T>& answer() const noexcept { return *answer_; }

  private:
    std::shared_ptr<Answer<T>> answer_;
};

/// Runs `question`, which may block, on a thread of its own, from now on. What it throws is an answer, too.
template <class T>
Asker<T> ask_in_background(std::function<Result<T>(const Unwanted&)> question) {
    auto answer = std::make_shared<Answer<T>>();
    run_in_background([answer, question = std::move(question)] {
        try {
            answer->result = question(answer->is_unwanted);
        } catch (...) {
            answer->result = Error::from_exception(std::current_exception());
        }
        answer->is_here = true;
        answer->waiters.wake_all();
    });
    return Asker<T>{std::move(answer)};
}

/// The answer, by way of the awaiting coroutine's executor.
///
/// Cancellation: all kinds; throws `operation_aborted`, and the question becomes unwanted.
template <class T>
asio::awaitable<Result<T>> wait_for_answer_to(Asker<T> asker) {
    auto& answer = asker.answer();
    const auto is_here = [expected = &answer]() noexcept { return expected->is_here.load(); };
    co_await answer.waiters.async_wait_unless(is_here, asio::use_awaitable);
    co_return answer.result;
}

} // namespace velostream::kafka
