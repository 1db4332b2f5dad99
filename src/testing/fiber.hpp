// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csetjmp>
#include <cstddef>
#include <functional>
#include <utility>

namespace velostream::testing {

/// A function with a stack of its own, which runs until it hands the processor on. Unknown to the sanitizers.
///
/// Going from one to the other is a jump: ucontext would ask the kernel for the signal mask each time, which takes
/// longer than all else that an exploration does.
///
/// Threads: a fiber belongs to the thread that made it.
class Fiber {
  public:
    static constexpr std::size_t stack_size = std::size_t{128} * 1024;

    /// The caller himself: only to come back to.
    Fiber() = default;
    /// With `stack`, which must outlive it.
    explicit Fiber(std::byte* stack);
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;
    /// A fiber that has not ended is dropped as it is: what lies on its stack is not destroyed.
    ~Fiber() = default;

    /// Runs `body` when it is resumed next, and resumes what that returns when it ends. What it ran before is dropped.
    /// `body` must not throw.
    void begin(std::function<Fiber*()> body) {
        body_ = std::move(body);
        goes_on_at_ = &entry_;
    }

    /// Goes on in `next`; returns when somebody resumes this one.
    void resume(Fiber& next);

  private:
    static void enter();

    std::function<Fiber*()> body_;
    std::jmp_buf entry_{}, here_{};
    std::jmp_buf* goes_on_at_ = &here_;
};

} // namespace velostream::testing
