// SPDX-License-Identifier: Apache-2.0
#include "velostream/connection_neighbours.hpp"

#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace velostream::detail {

namespace {

// By the root of the tree.
struct Neighbours {
    std::mutex mutex; // guards the next
    std::multimap<const void*, std::weak_ptr<ConnectionNeighbour>> all;
};

// Never destroyed: pools may end later than what is static.
Neighbours& neighbours() {
    static auto& everywhere = *new Neighbours;
    return everywhere;
}

const void* root_of(MemoryAccount account) noexcept {
    while (auto above = account.parent()) account = std::move(*above);
    return account.id();
}

} // namespace

void ConnectionNeighbour::join(const MemoryAccount& places, const std::shared_ptr<ConnectionNeighbour>& neighbour) {
    const auto* root = root_of(places);
    auto& [mutex, all] = neighbours();
    const std::scoped_lock lock{mutex};
    all.emplace(root, neighbour);
    neighbour->root_ = root;
}

ConnectionNeighbour::~ConnectionNeighbour() {
    if (root_ == nullptr) return;
    auto& [mutex, all] = neighbours();
    const std::scoped_lock lock{mutex};
    const auto [first, last] = all.equal_range(root_);
    for (auto one = first; one != last;) one = one->second.expired() ? all.erase(one) : std::next(one);
}

std::size_t ConnectionNeighbour::known() noexcept {
    auto& [mutex, all] = neighbours();
    const std::scoped_lock lock{mutex};
    return all.size();
}

void ConnectionNeighbour::tell(const MemoryAccount& places, const ConnectionNeighbour& who_waits) noexcept {
    std::vector<std::shared_ptr<ConnectionNeighbour>> there;
    try {
        const auto* root = root_of(places);
        auto& [mutex, all] = neighbours();
        const std::scoped_lock lock{mutex};
        const auto [first, last] = all.equal_range(root);
        for (auto one = first; one != last; ++one)
            if (auto neighbour = one->second.lock()) there.push_back(std::move(neighbour));
    } catch (const std::bad_alloc&) { // who is left out looks for himself when a connection comes back to him
    }
    for (const auto& neighbour : there)
        if (neighbour.get() != &who_waits) neighbour->on_neighbour_waits();
}

} // namespace velostream::detail
