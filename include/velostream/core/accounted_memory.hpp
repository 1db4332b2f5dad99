// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <limits>
#include <memory_resource>
#include <new>
#include <utility>

#include "velostream/core/memory_account.hpp"

namespace velostream {

/// What containers on accounted memory throw: a `std::bad_alloc` that says which account refused, and why.
class MemoryRefusedException : public std::bad_alloc, public CarriesError {
  public:
    explicit MemoryRefusedException(Error error) noexcept : error_(std::move(error)) {}
    const char* what() const noexcept override;
    /// `Errc::memory_limit_exceeded`, as `try_reserve` has it.
    const Error& error() const noexcept override { return error_; }

  private:
    Error error_;
};

/// The most that the C library takes for a block of `bytes` at `alignment`, its own header included: what to reserve
/// for it in advance. For glibc as it comes: blocks in steps of 16 bytes from 32 on, and whole pages for a block that
/// is a mapping of its own, as from 128 KiB on some are. Where the heap has a piece that is larger by less than a block
/// could be (32 bytes), all of it is taken; so most blocks take 16 bytes less than this.
/// `operator new` makes the size of an aligned block a multiple of its alignment; that is counted, too.
constexpr Bytes charge_for(std::size_t bytes, std::size_t alignment = 1) noexcept {
    constexpr std::size_t smallest = 32, step = 16, header = 8, usual_alignment = 16;
    constexpr std::size_t own_pages_from = 128 * 1024, page = 4096;
    constexpr auto most = std::numeric_limits<std::size_t>::max() / 4;
    if (bytes > most || alignment > most) return unlimited_units;
    const auto block = [](std::size_t size) {
        const auto whole_steps = (size + header + step - 1) / step * step;
        return whole_steps < smallest ? smallest : whole_steps;
    };
    // An aligned block is cut out of one that is larger by the alignment and the smallest block.
    const bool is_cut = alignment > usual_alignment;
    const auto asked = is_cut ? ((bytes == 0 ? 1 : bytes) + alignment - 1) / alignment * alignment : bytes;
    const auto from_heap = block(asked) + (is_cut ? smallest : smallest - step);
    const auto mapped = is_cut ? block(block(asked) + alignment + smallest) : block(asked);
    if (mapped < own_pages_from) return from_heap;
    const auto pages = (mapped + header + page - 1) / page * page;
    return pages < from_heap ? from_heap : pages;
}

/// `bytes` of `account` for as long as somebody holds what it returns.
///
/// Errors: as `try_reserve`; throws `std::bad_alloc`.
inline Result<std::shared_ptr<void>> try_hold(const MemoryAccount& account, Bytes bytes) {
    auto reserved = account.try_reserve(bytes);
    if (!reserved) return reserved.error();
    return std::make_shared<MemoryReservation>(std::move(*reserved));
}

/// Memory from the C library's heap (malloc, not `operator new`), charged to an account while it is in use: for
/// `std::pmr` containers. What it charges is what malloc says it took, header included; for an alignment above 16 it is
/// `charge_for`.
///
/// ```cpp
/// AccountedResource resource{resources.state()};
/// std::pmr::unordered_map<std::pmr::string, Group> groups{&resource};
/// ```
///
/// Errors:   throws `MemoryRefusedException` where the account refuses, and `std::bad_alloc` where there is no memory.
/// Threads:  safe, as the heap is.
/// Lifetime: must outlive what was allocated from it.
class AccountedResource final : public std::pmr::memory_resource {
  public:
    explicit AccountedResource(MemoryAccount account) noexcept : account_(std::move(account)) {}

    const MemoryAccount& account() const noexcept { return account_; }

  private:
    void* do_allocate(std::size_t bytes, std::size_t alignment) override;
    void do_deallocate(void* place, std::size_t bytes, std::size_t alignment) override;
    bool do_is_equal(const memory_resource& other) const noexcept override;

    [[gnu::noinline, gnu::cold]] void take_from_tree(Bytes charge);
    [[gnu::noinline, gnu::cold]] void take_rest(void* place, Bytes charged, Bytes taken);
    [[gnu::noinline, gnu::cold]] void give_to_tree(Bytes charge) noexcept;

    MemoryAccount account_;
};

/// The same, from bytes that were reserved before: inside of them nothing is refused. So a coroutine awaits the most
/// that a step can need, and the step runs through.
///
/// Errors:  throws `MemoryRefusedException` for more than is left of them.
/// Threads: one at a time.
class ReservedResource final : public std::pmr::memory_resource {
  public:
    explicit ReservedResource(MemoryReservation reserved) noexcept
        : reserved_(std::move(reserved)), left_(reserved_.bytes()) {}
    ReservedResource(const ReservedResource&) = delete;
    ReservedResource& operator=(const ReservedResource&) = delete;

    /// Bytes that can still be allocated.
    Bytes left() const noexcept { return left_; }

  private:
    void* do_allocate(std::size_t bytes, std::size_t alignment) override;
    void do_deallocate(void* place, std::size_t bytes, std::size_t alignment) override;
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

    MemoryReservation reserved_;
    Bytes left_;
};

/// Chunks from the heap, charged to an account when they are taken, that are given out in small pieces and come back
/// all at once: what expires together lies together. A piece costs no atomic operation.
///
/// Threads:  one at a time.
/// Lifetime: must outlive what was allocated from it.
class AccountedArena final : public std::pmr::memory_resource {
  public:
    static constexpr std::size_t default_chunk = 16 * 1024;

    /// `first_chunk`: bytes of the first chunk; each further one is larger than the one before.
    explicit AccountedArena(MemoryAccount account, std::size_t first_chunk = default_chunk)
        : chunks_(std::move(account)), pieces_(first_chunk, &chunks_) {}

    /// Gives all chunks back. What was allocated must not be used any more.
    void clear() { pieces_.release(); }

  private:
    void* do_allocate(std::size_t bytes, std::size_t alignment) override { return pieces_.allocate(bytes, alignment); }
    void do_deallocate(void*, std::size_t, std::size_t) override {} // all at once, with the chunk
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

    AccountedResource chunks_;
    std::pmr::monotonic_buffer_resource pieces_;
};

/// `AccountedResource` as an allocator of one type, for containers without `std::pmr`. It moves, copies and swaps with
/// its container, so that bytes go back to the account that they came from.
template <class T>
class AccountedAllocator {
  public:
    using value_type = T;
    using propagate_on_container_copy_assignment = std::true_type;
    using propagate_on_container_move_assignment = std::true_type;
    using propagate_on_container_swap = std::true_type;
    using is_always_equal = std::false_type;

    explicit(false) AccountedAllocator(MemoryAccount account) noexcept : resource_(std::move(account)) {}
    template <class Other>
    explicit(false) AccountedAllocator(const AccountedAllocator<Other>& other) noexcept : resource_(other.account()) {}
    // Also where it is moved from: a container keeps its allocator, and may be used again.
    AccountedAllocator(const AccountedAllocator& other) noexcept : resource_(other.account()) {}
    AccountedAllocator& operator=(const AccountedAllocator& other) noexcept {
        resource_ = AccountedResource{other.account()};
        return *this;
    }

    T* allocate(std::size_t count) {
        if (count > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw std::bad_array_new_length{};
        return static_cast<T*>(resource_.allocate(count * sizeof(T), alignof(T)));
    }
    void deallocate(T* place, std::size_t count) noexcept {
        resource_.deallocate(place, count * sizeof(T), alignof(T));
    }

    const MemoryAccount& account() const noexcept { return resource_.account(); }

    template <class Other>
    bool operator==(const AccountedAllocator<Other>& other) const noexcept {
        return account() == other.account();
    }

  private:
    AccountedResource resource_;
};

} // namespace velostream
