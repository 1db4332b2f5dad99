// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <cstddef>
#include <memory>
#include <new>
#include <tuple>
#include <type_traits>
#include <utility>

namespace velostream::kafka::detail {

namespace asio = boost::asio;

/// When a completion happens: `now`, inside of this call, or `later`, posted. Now is possible for a handler of the
/// component's own executor, while we run on it; a handler of another executor is dispatched.
enum class When { now, later };

template <class Signature>
class StoredHandler;

/// A completion handler of any type, kept in place: with ten thousand of them at once Asio's recycled memory is used
/// up, and each would cost an allocation.
template <class... Args>
class StoredHandler<void(Args...)> {
  public:
    StoredHandler() = default;
    StoredHandler(StoredHandler&& other) noexcept
        : slot_(other.slot_), operations_(std::exchange(other.operations_, {})), is_home_(other.is_home_) {
        if (operations_) operations_->relocate(other.storage_, storage_);
    }
    StoredHandler& operator=(StoredHandler&&) = delete;
    ~StoredHandler() { reset(); }

    /// `home` is the component's executor, also that of a handler without one. Another one has work until the handler
    /// was called or destroyed.
    template <class Handler>
    void emplace(Handler&& handler, const asio::any_io_executor& home) {
        using Stored = std::decay_t<Handler>;
        slot_ = asio::get_associated_cancellation_slot(handler);
        // Asked now, while the handler's memory is at hand, and not when its turn comes among thousands.
        const asio::any_io_executor executor = asio::get_associated_executor(handler, home);
        is_home_ = executor == home;
        if (!is_home_) {
            ::new (static_cast<void*>(storage_)) Abroad<Stored>*(new Abroad<Stored>{
                asio::prefer(executor, asio::execution::outstanding_work.tracked), std::forward<Handler>(handler)});
            operations_ = &operations_of<OnHeap<Abroad<Stored>>>;
        } else if constexpr (fits_in_place<Stored>) {
            ::new (static_cast<void*>(storage_)) Stored(std::forward<Handler>(handler));
            operations_ = &operations_of<InPlace<Stored>>;
        } else {
            ::new (static_cast<void*>(storage_)) Stored*(new Stored(std::forward<Handler>(handler)));
            operations_ = &operations_of<OnHeap<Stored>>;
        }
    }

    explicit operator bool() const noexcept { return operations_ != nullptr; }
    const asio::cancellation_slot& slot() const noexcept { return slot_; }

    /// Calls the handler, once, through its executor. Its place is free before it is called.
    void complete(const asio::any_io_executor& home, When when, Args&&... args) {
        const auto* const operations = std::exchange(operations_, nullptr);
        if (is_home_ && when == When::now) return operations->call(storage_, std::move(args)...);
        operations->submit(storage_, home, when, std::move(args)...);
    }

    /// Destroys the handler uncalled.
    void reset() noexcept {
        if (const auto* operations = std::exchange(operations_, nullptr)) operations->destroy(storage_);
    }

  private:
    static constexpr std::size_t capacity = 32;

    struct Operations {
        void (*call)(void*, Args&&...);
        void (*submit)(void*, const asio::any_io_executor&, When, Args&&...);
        void (*relocate)(void* from, void* to) noexcept;
        void (*destroy)(void*) noexcept;
    };

    template <class Handler>
    static constexpr bool fits_in_place = sizeof(Handler) <= capacity && alignof(Handler) <= alignof(void*) &&
                                          std::is_nothrow_move_constructible_v<Handler>;

    template <class Handler>
    struct InPlace {
        static Handler take(void* storage) noexcept {
            auto& stored = *std::launder(static_cast<Handler*>(storage));
            Handler taken{std::move(stored)};
            stored.~Handler();
            return taken;
        }
        static void relocate(void* from, void* to) noexcept { ::new (to) Handler(take(from)); }
        static void destroy(void* storage) noexcept { std::launder(static_cast<Handler*>(storage))->~Handler(); }
    };

    template <class Handler>
    struct OnHeap {
        static Handler*& at(void* storage) noexcept { return *std::launder(static_cast<Handler**>(storage)); }
        static Handler take(void* storage) {
            const std::unique_ptr<Handler> owner{at(storage)};
            return std::move(*owner);
        }
        static void relocate(void* from, void* to) noexcept { ::new (to) Handler*(at(from)); }
        static void destroy(void* storage) noexcept { delete at(storage); }
    };

    /// A handler of another executor, which has work meanwhile.
    template <class Handler>
    struct Abroad {
        using executor_type = asio::any_io_executor;
        const executor_type& get_executor() const noexcept { return executor; }
        void operator()(Args&&... args) { std::move(handler)(std::move(args)...); }

        executor_type executor;
        Handler handler;
    };

    template <class Kept>
    static void call(void* storage, Args&&... args) {
        Kept::take(storage)(std::move(args)...);
    }

    template <class Kept>
    static void submit(void* storage, const asio::any_io_executor& home, When when, Args&&... args) {
        auto handler = Kept::take(storage);
        const auto executor = asio::get_associated_executor(handler, home);
        auto called = [handler = std::move(handler), arguments = std::tuple<Args...>{std::move(args)...}]() mutable {
            std::apply(std::move(handler), std::move(arguments));
        };
        if (when == When::now) return asio::dispatch(executor, std::move(called));
        asio::post(executor, std::move(called));
    }

    template <class Kept>
    static constexpr Operations operations_of{&call<Kept>, &submit<Kept>, &Kept::relocate, &Kept::destroy};

    alignas(void*) std::byte storage_[capacity];
    asio::cancellation_slot slot_;
    const Operations* operations_ = nullptr;
    bool is_home_ = false;
};

} // namespace velostream::kafka::detail
