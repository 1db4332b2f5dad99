// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/accounted_memory.hpp"

#include <string>

namespace velostream {

namespace {

constexpr std::size_t usual_alignment = 16;

void* from_heap(std::size_t bytes, std::size_t alignment) {
    return alignment > usual_alignment ? ::operator new(bytes, std::align_val_t{alignment}) : ::operator new(bytes);
}

void to_heap(void* place, std::size_t bytes, std::size_t alignment) noexcept {
    if (alignment > usual_alignment)
        ::operator delete(place, bytes, std::align_val_t{alignment});
    else
        ::operator delete(place, bytes);
}

} // namespace

const char* MemoryRefusedException::what() const noexcept {
    const auto detail = error_.detail(); // of a string, so a zero follows
    return detail.empty() ? std::bad_alloc::what() : detail.data();
}

void* AccountedResource::do_allocate(std::size_t bytes, std::size_t alignment) {
    const auto charge = charge_for(bytes, alignment);
    if (!account_.try_take_at_hand(charge)) [[unlikely]]
        take_from_tree(charge);
    try {
        return from_heap(bytes, alignment);
    } catch (...) {
        account_.give(charge);
        throw;
    }
}

void AccountedResource::do_deallocate(void* place, std::size_t bytes, std::size_t alignment) {
    to_heap(place, bytes, alignment);
    const auto charge = charge_for(bytes, alignment);
    if (!account_.try_give_at_hand(charge)) [[unlikely]]
        give_to_tree(charge);
}

// The two below stand apart, so that what they need is not set up on each call of the two above.
void AccountedResource::take_from_tree(Bytes charge) {
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
    to_heap(place, bytes, alignment);
    left_ += charge_for(bytes, alignment);
}

} // namespace velostream
