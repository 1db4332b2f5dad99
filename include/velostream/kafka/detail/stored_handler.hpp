// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <cstddef>
#include <memory>
#include <new>
#include <tuple>
#include <type_traits>
#include <utility>

namespace velostream::kafka::detail {

namespace asio = boost::asio;

/// Where a completion happens. `inside`: we run on the component's executor, so a handler of that executor is called
/// directly.
enum class Place { inside, later };

template <class Signature>
class StoredHandler;

/// A completion handler of any type, kept in place: with ten thousand of them at once Asio's recycled memory is used
/// up, and each would cost an allocation.
template <class... Args>
class StoredHandler<void(Args...)> {
  public:
    StoredHandler() = default;
    StoredHandler(StoredHandler&& other) noexcept
        : slot_(other.slot_), operations_(std::exchange(other.operations_, {})) {
        if (operations_) operations_->relocate(other.storage_, storage_);
    }
    StoredHandler& operator=(StoredHandler&&) = delete;
    ~StoredHandler() { reset(); }

    template <class Handler>
    void emplace(Handler&& handler) {
        using Stored = std::decay_t<Handler>;
        slot_ = asio::get_associated_cancellation_slot(handler);
        if constexpr (fits_in_place<Stored>) {
            ::new (static_cast<void*>(storage_)) Stored(std::forward<Handler>(handler));
            operations_ = &operations_of<InPlace<Stored>>;
        } else {
            ::new (static_cast<void*>(storage_)) Stored*(new Stored(std::forward<Handler>(handler)));
            operations_ = &operations_of<OnHeap<Stored>>;
        }
    }

    explicit operator bool() const noexcept { return operations_ != nullptr; }
    const asio::cancellation_slot& slot() const noexcept { return slot_; }

    /// Calls the handler, once, through its executor. It is gone before it is called.
    void complete(const asio::any_io_executor& home, Place place, Args... args) {
        std::exchange(operations_, nullptr)->complete(storage_, home, place, std::move(args)...);
    }

    /// Destroys the handler uncalled.
    void reset() noexcept {
        if (const auto* operations = std::exchange(operations_, nullptr)) operations->destroy(storage_);
    }

  private:
    static constexpr std::size_t capacity = 64;

    struct Operations {
        void (*complete)(void*, const asio::any_io_executor&, Place, Args&&...);
        void (*relocate)(void* from, void* to) noexcept;
        void (*destroy)(void*) noexcept;
    };

    template <class Handler>
    static constexpr bool fits_in_place =
        sizeof(Handler) <= capacity && alignof(Handler) <= alignof(std::max_align_t) &&
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

    template <class Kept>
    static void complete_kept(void* storage, const asio::any_io_executor& home, Place place, Args&&... args) {
        auto handler = Kept::take(storage);
        auto executor = asio::get_associated_executor(handler, home);
        if (place == Place::inside && executor == home) return std::move(handler)(std::move(args)...);
        auto call = [handler = std::move(handler), arguments = std::tuple<Args...>{std::move(args)...}]() mutable {
            std::apply(std::move(handler), std::move(arguments));
        };
        if (place == Place::inside) return asio::dispatch(executor, std::move(call));
        asio::post(executor, std::move(call));
    }

    template <class Kept>
    static constexpr Operations operations_of{&complete_kept<Kept>, &Kept::relocate, &Kept::destroy};

    alignas(std::max_align_t) std::byte storage_[capacity];
    asio::cancellation_slot slot_;
    const Operations* operations_ = nullptr;
};

} // namespace velostream::kafka::detail
