// SPDX-License-Identifier: Apache-2.0
#include "testing/fiber.hpp"

#include <utility>

namespace velostream::testing {

namespace {

thread_local Fiber* beginning = nullptr; // makecontext passes no pointers

} // namespace

Fiber::Fiber(std::byte* stack, std::function<Fiber*()> body) : body_(std::move(body)) {
    ::getcontext(&context_);
    context_.uc_stack.ss_sp = stack;
    context_.uc_stack.ss_size = stack_size;
    ::makecontext(&context_, &Fiber::enter, 0);
}

void Fiber::enter() {
    auto& self = *beginning;
    self.resume(*self.body_());
}

void Fiber::resume(Fiber& next) {
    if (this == &next) return;
    beginning = &next;
    ::swapcontext(&context_, &next.context_);
}

} // namespace velostream::testing
