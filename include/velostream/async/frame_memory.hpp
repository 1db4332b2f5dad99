// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <utility>

namespace velostream {

namespace asio = boost::asio;

namespace detail {

/// Memory for coroutine frames, of which each thread keeps what has ended for what begins next.
///
/// Asio keeps two frames a thread, of up to 1020 bytes. A call under policies has more at a time than that, together
/// with those of the operation and of whoever called, so that each call would go to the heap.
///
/// Threads: safe, without any lock. Memory may go back on another thread than it came from.
class FrameMemory {
  public:
    static constexpr std::size_t step = 128;           ///< sizes are rounded up to a multiple of this,
    static constexpr std::size_t largest = 2048;       ///< and what is larger than this is not kept
    static constexpr std::uint8_t most_of_a_size = 16; ///< that a thread keeps

    /// Throws `std::bad_alloc`.
    static void* allocate(std::size_t size) {
        const auto which = index(size);
        if (which < sizes) [[likely]]
            if (auto& kept = kept_[which]; kept.first) [[likely]] {
                --kept.count;
                return std::exchange(kept.first, kept.first->next);
            }
        return ::operator new(rounded(size));
    }
    static void deallocate(void* memory, std::size_t size) noexcept {
        const auto which = index(size);
        if (which < sizes) [[likely]]
            if (auto& kept = kept_[which]; kept.count < most_) [[likely]] {
                ++kept.count;
                kept.first = new (memory) Free{kept.first};
                return;
            }
        deallocate_otherwise(memory, size);
    }

  private:
    struct Free {
        Free* next;
    };
    struct Kept {
        Free* first;
        std::uint8_t count;
    };
    class Ending;

    static constexpr std::size_t sizes = largest / step;
    static std::size_t index(std::size_t size) noexcept { return (size - 1) / step; }
    static std::size_t rounded(std::size_t size) noexcept { return (index(size) + 1) * step; }
    static void deallocate_otherwise(void* memory, std::size_t size) noexcept;

    // Constant initialisers need no guard.
    static inline constinit thread_local std::array<Kept, sizes> kept_{};
    static inline constinit thread_local std::uint8_t most_ = 0; // until the thread has made sure that they go with it
    static inline constinit thread_local bool has_ended_ = false;
};

/// Lets `std::allocate_shared` take `FrameMemory`: for what a call needs beside its frames.
template <class T>
struct FrameAllocator {
    using value_type = T;
    static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);

    FrameAllocator() = default;
    template <class U>
    FrameAllocator(const FrameAllocator<U>&) noexcept {}

    T* allocate(std::size_t count) { return static_cast<T*>(FrameMemory::allocate(count * sizeof(T))); }
    void deallocate(T* memory, std::size_t count) noexcept { FrameMemory::deallocate(memory, count * sizeof(T)); }

    template <class U>
    bool operator==(const FrameAllocator<U>&) const noexcept {
        return true;
    }
};

/// The first parameter of a coroutine, which may be a member, whose frame is to come from `FrameMemory`.
struct OwnFrame {};
inline constexpr OwnFrame own_frame{};

/// What the coroutine returns in which a chain begins.
using ChainEntry = asio::detail::awaitable_thread_entry_point;

/// Coroutines that await each other, from the one that was spawned on: what Asio calls a thread, by its entry point.
using CoroutineChain = asio::detail::awaitable_frame<ChainEntry, asio::any_io_executor>;

/// A chain while it runs, and one that waits: whoever has that resumes it by calling it, on its executor, or ends it.
using RunningChain = asio::detail::awaitable_thread<asio::any_io_executor>;
using WaitingChain = asio::detail::awaitable_async_op_handler<void(), asio::any_io_executor>;

/// What a coroutine with a frame from `FrameMemory` awaits in that frame, without another one.
///
/// `begin(chain)`  begins it, in the chain that awaits it. True if it has ended already.
/// `wait(detach)`  else: the chain has stopped, and `detach()` gives it as one that waits.
/// `end()`         what came of it, when it has ended or the chain was resumed.
template <class T>
concept AwaitedInFrame = requires(T& awaited, RunningChain& chain, WaitingChain (&detach)()) {
    { awaited.begin(chain) } -> std::same_as<bool>;
    awaited.wait(detach);
    awaited.end();
};

/// `co_await this_chain`, in a coroutine with a frame from `FrameMemory`, gives the chain that it is part of.
struct ThisChain {};
inline constexpr ThisChain this_chain{};

/// The second parameter of a coroutine in which a chain begins, after `OwnFrame`, where it is to hear of its end.
///
/// `threw(exception)`   instead of a value.
/// `ended(has_waited)`  when nothing of it is left but its parameters; it `has_waited`: not since it was launched, in
///                      this thread. What this throws comes out of what has resumed the chain.
template <class T>
concept HearsOfItsEnd = requires(T& end, std::exception_ptr exception, bool has_waited) {
    { end.threw(exception) } noexcept;
    end.ended(has_waited);
};

template <class T>
class OwnFramePromise : public asio::detail::awaitable_frame<T, asio::any_io_executor> {
    using Frame = asio::detail::awaitable_frame<T, asio::any_io_executor>;

    // Asio's coroutines know those who wait for them as exactly a `Frame`.
    template <class U>
    struct Awaiter {
        bool await_ready() const noexcept { return awaited.await_ready(); }
        template <class Promise>
        void await_suspend(std::coroutine_handle<Promise> waits) {
            static_assert(alignof(Promise) == alignof(Frame)); // which is all that its place depends on
            awaited.await_suspend(std::coroutine_handle<Frame>::from_promise(waits.promise()));
        }
        U await_resume() { return awaited.await_resume(); }

        asio::awaitable<U> awaited;
    };

    template <AwaitedInFrame Awaited>
    struct InFrame {
        bool await_ready() { return awaited.begin(*frame.attached_thread_); }
        void await_suspend(std::coroutine_handle<>) {
            frame.after_suspend(
                [](void* self) {
                    auto& [waited, waits] = *static_cast<InFrame*>(self);
                    waited.wait([&waits] {
                        static WaitingChain::result_type none; // which it refers to
                        return WaitingChain{waits.detach_thread(), none};
                    });
                },
                this);
        }
        decltype(auto) await_resume() { return awaited.end(); }

        Awaited& awaited;
        OwnFramePromise& frame;
    };

  public:
    static void* operator new(std::size_t size) { return FrameMemory::allocate(size); }
    static void operator delete(void* memory, std::size_t size) noexcept { FrameMemory::deallocate(memory, size); }

    using Frame::await_transform;
    auto await_transform(ThisChain) const noexcept {
        struct Chain {
            bool await_ready() const noexcept { return true; }
            void await_suspend(std::coroutine_handle<>) const noexcept {}
            CoroutineChain& await_resume() const noexcept { return *entry_point; }

            CoroutineChain* entry_point;
        };
        return Chain{this->attached_thread_->entry_point()};
    }
    template <class U>
    auto await_transform(asio::awaitable<U, asio::any_io_executor> awaited) const {
        return Awaiter<U>{Frame::await_transform(std::move(awaited))};
    }
    template <AwaitedInFrame Awaited>
    auto await_transform(Awaited& awaited) {
        const auto& chain = *this->attached_thread_;
        if (chain.throw_if_cancelled() && chain.get_cancellation_state().cancelled() != asio::cancellation_type::none)
            throw boost::system::system_error{asio::error::operation_aborted};
        return InFrame<Awaited>{awaited, *this};
    }
};

template <HearsOfItsEnd End>
class EntryPromise : public OwnFramePromise<ChainEntry> {
  public:
    template <class... Parameters>
    EntryPromise(const OwnFrame&, End& end, Parameters&...) noexcept : end_(end) {}

    void unhandled_exception() noexcept { end_.threw(std::current_exception()); }
    auto final_suspend() noexcept {
        struct Last {
            bool await_ready() const noexcept { return false; }
            void await_suspend(std::coroutine_handle<>) const noexcept { frame.leave(); }
            void await_resume() const noexcept {}

            EntryPromise& frame;
        };
        return Last{*this};
    }

  private:
    void leave() noexcept {
        has_waited_ = await_transform(asio::detail::awaitable_thread_has_context_switched{}).await_resume();
        pop_frame();
        after_suspend(
            [](void* self) {
                auto& frame = *static_cast<EntryPromise*>(self);
                frame.end_.ended(frame.has_waited_);
            },
            this);
    }

    End& end_; // among the parameters
    bool has_waited_ = false;
};

} // namespace detail

} // namespace velostream

template <class T, class... Parameters>
struct std::coroutine_traits<boost::asio::awaitable<T>, velostream::detail::OwnFrame, Parameters...> {
    using promise_type = velostream::detail::OwnFramePromise<T>;
};
template <class T, class Object, class... Parameters>
struct std::coroutine_traits<boost::asio::awaitable<T>, Object, velostream::detail::OwnFrame, Parameters...> {
    using promise_type = velostream::detail::OwnFramePromise<T>;
};
template <velostream::detail::HearsOfItsEnd End, class... Parameters>
struct std::coroutine_traits<boost::asio::awaitable<velostream::detail::ChainEntry>, velostream::detail::OwnFrame, End,
                             Parameters...> {
    using promise_type = velostream::detail::EntryPromise<End>;
};
