// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <functional>

namespace velostream::testing {

/// A function with a stack of its own, which runs until it hands the processor on. Unknown to the sanitizers.
///
/// Threads: a fiber belongs to the thread that first resumed it.
class Fiber {
  public:
    static constexpr std::size_t stack_size = std::size_t{128} * 1024;

    /// The caller himself: only to come back to.
    Fiber() = default;
    /// Runs `body` on `stack` when first resumed, and resumes what it returns when it ends. `body` must not throw.
    Fiber(std::byte* stack, std::function<Fiber*()> body);
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;
    /// A fiber that has not ended is dropped as it is: what lies on its stack is not destroyed.
    ~Fiber() = default;

    /// Goes on in `next`; returns when somebody resumes this one.
    void resume(Fiber& next);

  private:
    static void enter();

    std::function<Fiber*()> body_;
    ucontext_t context_{};
};

} // namespace velostream::testing
