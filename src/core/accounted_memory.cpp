// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/accounted_memory.hpp"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <string>

namespace velostream {

namespace {

constexpr std::size_t smallest = 32, step = 16, header = 8, usual_alignment = 16;
constexpr auto largest_bytes = std::numeric_limits<std::size_t>::max() / 4; // as `charge_for` has it

void* from_heap(std::size_t bytes, std::size_t alignment) {
    void* place = nullptr;
    if (alignment <= usual_alignment)
        place = std::malloc(bytes == 0 ? 1 : bytes);
    else if (::posix_memalign(&place, alignment, bytes == 0 ? 1 : bytes) != 0)
        place = nullptr;
    if (place == nullptr) throw std::bad_alloc{};
    return place;
}

// What a block that malloc found exactly takes, its header included.
Bytes least_charge(std::size_t bytes, std::size_t alignment) noexcept {
    if (alignment > usual_alignment || bytes > largest_bytes) return charge_for(bytes, alignment);
    return std::max(smallest, (bytes + header + step - 1) / step * step);
}

// What this one takes. A block of the heap has a header of 8 bytes and a size in steps of 16, one of whole pages a
// header of 16: both come out of the same sum. An aligned one that has whole pages does not say how many.
Bytes charge_of(void* place, std::size_t bytes, std::size_t alignment) noexcept {
    const auto least = least_charge(bytes, alignment);
    if (alignment > usual_alignment) return least;
    const Bytes taken = (::malloc_usable_size(place) + 2 * header) / step * step;
    return std::max(least, taken);
}

} // namespace

const char* MemoryRefusedException::what() const noexcept {
    const auto detail = error_.detail(); // of a string, so a zero follows
    return detail.empty() ? std::bad_alloc::what() : detail.data();
}

void* AccountedResource::do_allocate(std::size_t bytes, std::size_t alignment) {
    const auto charge = least_charge(bytes, alignment);
    if (!account_.try_take_at_hand(charge)) [[unlikely]]
        take_from_tree(charge);
    void* place = nullptr;
    try {
        place = from_heap(bytes, alignment);
    } catch (...) {
        account_.give(charge);
        throw;
    }
    if (const auto taken = charge_of(place, bytes, alignment); taken != charge) [[unlikely]]
        take_rest(place, charge, taken);
    return place;
}

void AccountedResource::do_deallocate(void* place, std::size_t bytes, std::size_t alignment) {
    const auto charge = charge_of(place, bytes, alignment);
    std::free(place);
    if (!account_.try_give_at_hand(charge)) [[unlikely]]
        give_to_tree(charge);
}

// The three below stand apart, so that what they need is not set up on each call of the two above.
void AccountedResource::take_rest(void* place, Bytes charged, Bytes taken) {
    const auto refused = account_.take(taken - charged);
    if (!refused) return;
    std::free(place);
    account_.give(charged);
    throw MemoryRefusedException{*refused};
}
void AccountedResource::take_from_tree(Bytes charge) {
    if (charge == unlimited_units) // an account without a limit would give all that there is, though malloc cannot
        throw MemoryRefusedException{Error{Errc::memory_limit_exceeded, "account '" + std::string{account_.name()} +
                                                                            "' asked for more than there can be"}};
    if (const auto refused = account_.take(charge)) throw MemoryRefusedException{*refused};
}
void AccountedResource::give_to_tree(Bytes charge) noexcept {
    account_.give(charge);
}

bool AccountedResource::do_is_equal(const memory_resource& other) const noexcept {
    const auto* const same = dynamic_cast<const AccountedResource*>(&other);
    return same != nullptr && same->account_ == account_;
}

void* ReservedResource::do_allocate(std::size_t bytes, std::size_t alignment) {
    const auto charge = charge_for(bytes, alignment);
    if (charge > left_)
        throw MemoryRefusedException{
            Error{Errc::memory_limit_exceeded, "asked for " + std::to_string(charge) + " bytes: used " +
                                                   std::to_string(reserved_.bytes() - left_) + " of " +
                                                   std::to_string(reserved_.bytes()) + " that were reserved"}};
    auto* const place = from_heap(bytes, alignment);
    left_ -= charge;
    return place;
}

void ReservedResource::do_deallocate(void* place, std::size_t bytes, std::size_t alignment) {
    std::free(place);
    left_ += charge_for(bytes, alignment);
}

} // namespace velostream
