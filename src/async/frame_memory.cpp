// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/frame_memory.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

namespace velostream::detail {

namespace {

// Memory that is used again hides from the sanitizer who uses what has ended.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool is_kept = false;
#else
constexpr bool is_kept = true;
#endif

} // namespace

// Gives back what its thread has kept. Frames that end after that, while the thread ends, go to the heap.
class FrameMemory::Ending {
  public:
    Ending() noexcept { most_ = is_kept ? most_of_a_size : 0; }
    Ending(const Ending&) = delete;
    Ending& operator=(const Ending&) = delete;
    ~Ending() {
        most_ = 0;
        has_ended_ = true;
        for (auto& kept : kept_) {
            while (kept.first) ::operator delete(std::exchange(kept.first, kept.first->next));
            kept.count = 0;
        }
    }
};

void FrameMemory::deallocate_otherwise(void* memory, std::size_t size) noexcept {
    ::operator delete(memory, rounded(size));
    if (most_ == 0 && !has_ended_ && size <= largest) thread_local const Ending ending;
}

} // namespace velostream::detail
