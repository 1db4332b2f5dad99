// SPDX-License-Identifier: Apache-2.0
#undef _FORTIFY_SOURCE // a hardened longjmp takes a jump to another stack for a fault
#include "testing/fiber.hpp"

#include <ucontext.h>

#include <utility>

namespace velostream::testing {

namespace {

// makecontext passes no pointers
thread_local Fiber* made = nullptr;
thread_local ::ucontext_t maker;

} // namespace

Fiber::Fiber(std::byte* stack) {
    ::ucontext_t context{};
    ::getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = stack_size;
    ::makecontext(&context, &Fiber::enter, 0);
    made = this;
    ::swapcontext(&maker, &context); // as far as its entry
}

void Fiber::enter() {
    auto& self = *made;
    if (::_setjmp(self.entry_) == 0) ::setcontext(&maker);
    self.resume(*self.body_());
}

void Fiber::resume(Fiber& next) {
    if (this == &next) return;
    goes_on_at_ = &here_;
    if (::_setjmp(here_) == 0) ::_longjmp(*next.goes_on_at_, 1);
}

} // namespace velostream::testing
