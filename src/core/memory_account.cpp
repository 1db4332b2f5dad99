// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/memory_account.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <utility>

namespace velostream {

namespace {

using Tree = BudgetTree<MachineAtomics>;
using Node = Tree::Node;
using Outcome = Tree::Outcome;

struct Holder {
    std::string_view name;
    Bytes used = 0;
};

// The accounts right below the level that refused, largest first. Nothing where there are too many to look at all, or
// where another thread is making or dropping one: a refusal waits for nobody.
std::string largest_holders(const Node& level) {
    constexpr std::size_t most_accounts = 256;
    std::array<Holder, 3> largest{};
    std::string text;
    level.tree.registry().try_for_each(most_accounts, [&](Node& node) {
        if (node.parent.load() != &level) return;
        Holder holder{node.name, node.granted()};
        for (auto& place : largest) {
            if (place.used < holder.used) std::swap(place, holder);
        }
        // Names are only safe to read in here.
        text.clear();
        for (const auto& place : largest) {
            if (place.used == 0) break;
            text.append(text.empty() ? "; largest: " : ", ")
                .append(place.name)
                .append(" ")
                .append(std::to_string(place.used));
        }
    });
    return text;
}

Error refusal(const Node& account, Bytes asked, const Outcome& outcome) noexcept {
    try {
        const auto& level = *outcome.refused_by;
        std::string text = "account '" + account.name + "' asked for " + std::to_string(asked) + " bytes";
        if (&level != &account) text += ", refused by '" + level.name + "'";
        text += ": used " + std::to_string(outcome.used) + " of " + std::to_string(outcome.limit);
        text += largest_holders(level);
        if (outcome.waiting != 0) text += "; " + std::to_string(outcome.waiting) + " waiting";
        text += outcome.can_never_be() ? "; can never succeed: more than the limit" : "; waiting could help";
        return {Errc::memory_limit_exceeded, std::move(text)};
    } catch (...) {
        return Errc::memory_limit_exceeded; // no memory to say why
    }
}

} // namespace

MemoryAccount::MemoryAccount(std::string name, std::optional<Bytes> limit, std::shared_ptr<WaitingListener> listener)
    : node_(&Tree::make(std::move(name), limit.value_or(unlimited_units), std::move(listener))) {}

MemoryAccount MemoryAccount::child(std::string name, std::optional<Bytes> limit) const {
    return MemoryAccount{Tree::make_child(*node_, std::move(name), limit.value_or(unlimited_units))};
}

auto MemoryAccount::take_from_tree(Bytes bytes) const noexcept -> Outcome {
    MachineAtomics::choose_shard();
    return Tree::take(*node_, node_->shard_of_this_thread(), bytes);
}

Error MemoryAccount::refusal(Bytes asked, const Outcome& outcome) const noexcept {
    node_->refusals.fetch_add(1, std::memory_order_relaxed);
    return velostream::refusal(*node_, asked, outcome);
}

Result<void> MemoryReservation::try_grow(Bytes more) noexcept {
    assert(shard_ != nullptr);
    if (shard_->try_take(more)) {
        bytes_ += more;
        return {};
    }
    auto& node = *shard_->node;
    const auto outcome = Tree::take(node, *shard_, more);
    if (!outcome.granted()) {
        node.refusals.fetch_add(1, std::memory_order_relaxed);
        return refusal(node, more, outcome);
    }
    bytes_ += more;
    return {};
}

Result<void> MemoryReservation::try_transfer(const MemoryAccount& account) noexcept {
    auto& to = *account.node_;
    if (bytes_ != 0) { // else its account may have gone
        if (shard_->node == &to) return {};
        if (&shard_->node->tree != &to.tree) {
            auto there = account.try_reserve(bytes_);
            if (!there) return there.error();
            *this = std::move(*there);
            return {};
        }
        const auto outcome = Tree::transfer(*shard_->node, to, bytes_);
        if (!outcome.granted()) return account.refusal(bytes_, outcome);
    }
    shard_ = &to.shard(0); // any: this thread may have none of its own
    return {};
}

std::optional<Bytes> MemoryAccount::limit() const noexcept {
    const auto limit = node_->limit.load();
    return limit == unlimited_units ? std::nullopt : std::optional{limit};
}

std::optional<Bytes> MemoryAccount::lowest_limit() const noexcept {
    auto lowest = unlimited_units;
    for (auto* level = node_; level != nullptr; level = level->parent.load())
        lowest = std::min(lowest, level->limit.load());
    return lowest == unlimited_units ? std::nullopt : std::optional{lowest};
}

void MemoryAccount::set_limit(std::optional<Bytes> limit) const noexcept {
    Tree::set_limit(*node_, limit.value_or(unlimited_units));
}

void MemoryAccount::set_overtaking(const Overtaking& allowed) const noexcept {
    node_->overtakers.store(allowed.most, std::memory_order_relaxed);
    node_->overtaking_units.store(allowed.most_bytes, std::memory_order_relaxed);
    node_->tree.waiters().on_room(*node_);
}

std::optional<std::vector<WaitingAccount>> MemoryAccount::who_waits() const {
    constexpr auto all = std::numeric_limits<std::size_t>::max();
    std::optional<std::vector<WaitingAccount>> accounts;
    const bool could_look = node_->tree.registry().try_for_each(all, [&](Node& node) {
        const auto waiting = node.waiting.load();
        if (waiting == 0) return;
        if (!accounts) accounts.emplace();
        accounts->push_back({&node, node.name, waiting, node.granted(), node.limit.load(), node.given.load()});
    });
    if (could_look && !accounts) accounts.emplace();
    return accounts;
}

Bytes MemoryAccount::available() const noexcept {
    auto room = unlimited_units;
    for (auto* level = node_; level != nullptr; level = level->parent.load()) {
        const auto limit = level->limit.load();
        room = std::min(room, limit - std::min(limit, Tree::used(*level)));
    }
    return room;
}

} // namespace velostream
