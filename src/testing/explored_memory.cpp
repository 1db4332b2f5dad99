// SPDX-License-Identifier: Apache-2.0
#include "testing/explored_memory.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

namespace velostream::testing {

namespace {

using Access = detail::AtomicAccess;

constexpr bool acquires(std::memory_order order) noexcept {
    return order == std::memory_order_acquire || order == std::memory_order_acq_rel ||
           order == std::memory_order_seq_cst;
}
constexpr bool releases(std::memory_order order) noexcept {
    return order == std::memory_order_release || order == std::memory_order_acq_rel ||
           order == std::memory_order_seq_cst;
}

void join(std::vector<std::uint32_t>& view, const std::vector<std::uint32_t>& other) {
    for (std::size_t number = 0; number < view.size(); ++number) view[number] = std::max(view[number], other[number]);
}

} // namespace

void ExploredMemory::reset(const std::vector<Location*>& locations, std::size_t threads) {
    values_ = 0;
    if (!weak_) return;
    const View nothing(locations.size(), 0);
    if (messages_.empty()) {
        for (const auto* location : locations) messages_.push_back({{location->latest, nothing}});
    }
    for (const auto number : written_) messages_[number].resize(1);
    written_.clear();
    views_.assign(threads, nothing);
    sc_ = nothing;
}

auto ExploredMemory::perform(std::size_t thread, Location& location, const Request& request, const Choose& choose)
    -> Answer {
    if (weak_) return perform_weak(thread, location, request, choose);
    const auto old = location.latest;
    if (request.access == Access::load) return {old, false};
    if (request.access == Access::compare_exchange && old != request.expected) return {old, false};
    location.latest = stored_value(request, old);
    values_ ^= mixed(location.number, old) ^ mixed(location.number, location.latest);
    return {request.access == Access::store ? 0 : old, true};
}

auto ExploredMemory::perform_weak(std::size_t thread, Location& location, const Request& request, const Choose& choose)
    -> Answer {
    const auto number = location.number;
    const auto& messages = messages_[number];
    auto& view = views_[thread];
    const auto last = messages.size() - 1;
    const auto oldest = [&](std::memory_order order) {
        return std::size_t{order == std::memory_order_seq_cst ? std::max(view[number], sc_[number]) : view[number]};
    };
    const auto read = [&](std::size_t index, std::memory_order order) {
        view[number] = std::max(view[number], static_cast<std::uint32_t>(index));
        if (acquires(order)) join(view, messages[index].carried);
        return messages[index].value;
    };

    if (request.access == Access::store) {
        append(view, location, request, request.operand, nullptr);
        return {0, true};
    }
    if (request.access == Access::load) {
        const auto choices = last - oldest(request.order) + 1;
        return {read(last - choose(choices), request.order), false};
    }
    if (request.access == Access::compare_exchange) {
        // It succeeds on the last message only, and fails on any that it may read and did not expect.
        std::vector<std::size_t> failing;
        for (auto index = oldest(request.failure_order); index <= last; ++index) {
            if (messages[index].value != request.expected) failing.push_back(index);
        }
        const std::size_t succeeding = messages[last].value == request.expected ? 1 : 0;
        const auto choice = choose(failing.size() + succeeding);
        if (choice >= succeeding)
            return {read(failing[failing.size() - 1 - (choice - succeeding)], request.failure_order), false};
    }
    const auto old = read(last, request.order);
    const auto earlier = messages[last].carried;
    append(view, location, request, stored_value(request, old), &earlier);
    return {old, true};
}

void ExploredMemory::append(View& view, Location& location, const Request& request, std::uint64_t value,
                            const View* earlier) {
    const auto number = location.number;
    auto& messages = messages_[number];
    if (messages.size() == 1) written_.insert(std::ranges::lower_bound(written_, number), number);
    const auto index = static_cast<std::uint32_t>(messages.size());
    view[number] = index;
    if (request.order == std::memory_order_seq_cst) sc_[number] = index;
    auto carried = releases(request.order) ? view : View(view.size(), 0);
    carried[number] = index;
    if (earlier != nullptr) join(carried, *earlier); // a read-modify-write continues the release sequence
    messages.push_back({value, std::move(carried)});
    location.latest = value;
}

// Messages that nobody can read any more are left out, and the rest is counted from the first that somebody can: two
// histories of the same length to come are then one.
std::uint64_t ExploredMemory::hash() const {
    if (!weak_) return values_;
    View first(messages_.size(), 0);
    for (const auto number : written_) {
        auto oldest = static_cast<std::uint32_t>(messages_[number].size() - 1);
        for (const auto& view : views_) {
            if (!view.empty()) oldest = std::min(oldest, view[number]);
        }
        first[number] = oldest;
    }
    std::uint64_t hash = 0;
    const auto add = [&](const View& view) {
        for (const auto number : written_) {
            if (view[number] > first[number]) hash = mixed(hash, number << 32 | (view[number] - first[number]));
        }
        hash = mixed(hash, 1);
    };
    for (const auto number : written_) {
        const auto& messages = messages_[number];
        for (std::size_t index = first[number]; index < messages.size(); ++index) {
            hash = mixed(hash, mixed(number, messages[index].value));
            add(messages[index].carried);
        }
    }
    for (const auto& view : views_) {
        if (!view.empty()) add(view);
    }
    add(sc_);
    return hash;
}

std::uint64_t ExploredMemory::stored_value(const Request& request, std::uint64_t old) noexcept {
    switch (request.access) {
        case Access::load:
            return old;
        case Access::add:
            return (old + request.operand) & request.mask;
        case Access::bit_or:
            return old | request.operand;
        case Access::bit_and:
            return old & request.operand;
        case Access::store:
        case Access::exchange:
        case Access::compare_exchange:
            return request.operand;
    }
    return old;
}

} // namespace velostream::testing
