// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "velostream/testing/interleaving_explorer.hpp"
#include "velostream/testing/scheduled_atomic.hpp"

namespace velostream::testing {

/// A hash of two words, of which the first may be such a hash.
inline std::uint64_t mixed(std::uint64_t left, std::uint64_t right) noexcept {
    auto mix = (left + 1) * 0x9e3779b97f4a7c15 + right; // + 1: zeros count too
    mix = (mix ^ mix >> 30) * 0xbf58476d1ce4e5b9;
    mix = (mix ^ mix >> 27) * 0x94d049bb133111eb;
    return mix ^ mix >> 31;
}

/// The memory that explored threads share: what each access answers, and what it leaves.
///
/// Sequential: one value a location. Weak: every location keeps all messages that were stored there, in order of their
/// storing. A thread has a view, the oldest message of each location that it may still read. A release store's message
/// carries the view of who stored it, and an acquire load joins it to the reader's own; a read-modify-write reads the
/// last message and carries on what it carried. A seq_cst load reads nothing older than the last seq_cst store.
class ExploredMemory {
  public:
    using Location = detail::ScheduledLocation;
    using Request = detail::AtomicRequest;
    using Answer = detail::AtomicAnswer;
    /// Picks one of so many ways to go on.
    using Choose = std::function<std::size_t(std::size_t)>;

    explicit ExploredMemory(MemoryModel model) noexcept : weak_(model == MemoryModel::weak) {}

    void reset(const std::vector<Location*>& locations, std::size_t threads);
    Answer perform(std::size_t thread, Location& location, const Request& request, const Choose& choose);
    /// The thread reads nothing any more.
    void end(std::size_t thread) {
        if (weak_) views_[thread].clear();
    }
    /// Equal for two memories that nobody can tell apart.
    std::uint64_t hash() const;

    static std::uint64_t stored_value(const Request& request, std::uint64_t old) noexcept;

  private:
    using View = std::vector<std::uint32_t>; // by location
    struct Message {
        std::uint64_t value;
        View carried;
    };

    Answer perform_weak(std::size_t thread, Location& location, const Request& request, const Choose& choose);
    void append(View& view, Location& location, const Request& request, std::uint64_t value, const View* earlier);

    const bool weak_;
    std::uint64_t values_ = 0;                   // of the changed locations, a hash; sequential only
    std::vector<std::vector<Message>> messages_; // by location; weak only, as all below
    std::vector<std::size_t> written_;           // locations with more than one message, in order of their numbers
    std::vector<View> views_;                    // by thread; empty for one that has ended
    View sc_;                                    // the last seq_cst store of each location
};

} // namespace velostream::testing
