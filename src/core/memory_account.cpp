// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/memory_account.hpp"

#include <algorithm>
#include <utility>

#include "largest_holders.hpp"
#include "velostream/core/budget_unit.hpp"

namespace velostream {

namespace {

using Tree = BudgetTree<MachineAtomics>;
using Node = Tree::Node;
using Outcome = Tree::Outcome;

Error refusal(const Node& account, Bytes asked, const Outcome& outcome, bool with_others) noexcept {
    const auto unit = account.tree.unit();
    try {
        const auto& level = *outcome.refused_by;
        std::string text = "account '" + account.name + "' ";
        if (with_others) text += "and others ";
        text += "asked for " + counted(asked, unit);
        if (&level != &account) text += ", refused by '" + level.name + "'";
        text += ": used " + std::to_string(outcome.used) + " of " + std::to_string(outcome.limit);
        text += largest_holders(account, level);
        if (outcome.waiting != 0) text += "; " + std::to_string(outcome.waiting) + " waiting";
        text += outcome.can_never_be() ? "; can never succeed: more than the limit" : "; waiting could help";
        return {refusal_code(unit), std::move(text)};
    } catch (...) {
        return refusal_code(unit); // no memory to say why
    }
}

} // namespace

MemoryAccount::MemoryAccount(std::string name, std::optional<Bytes> limit, std::shared_ptr<WaitingListener> listener)
    : node_(&Tree::make(std::move(name), limit.value_or(unlimited_units), std::move(listener))) {}

MemoryAccount::MemoryAccount(std::string name, BudgetUnit unit, std::optional<std::uint64_t> limit,
                             std::shared_ptr<WaitingListener> listener)
    : node_(&Tree::make(std::move(name), limit.value_or(unlimited_units), std::move(listener), unit)) {}

MemoryAccount MemoryAccount::child(std::string name, std::optional<Bytes> limit, AccountRole role) const {
    return MemoryAccount{
        Tree::make_child(*node_, std::move(name), limit.value_or(unlimited_units), static_cast<std::uint8_t>(role))};
}

std::optional<MemoryAccount> MemoryAccount::parent() const noexcept {
    auto* const above = node_->parent.load();
    if (above == nullptr) return std::nullopt;
    above->add_owner(); // this one owns it, so it has one
    return MemoryAccount{*above};
}

auto MemoryAccount::take_from_tree(Bytes bytes) const noexcept -> Outcome {
    MachineAtomics::choose_shard();
    return Tree::take(*node_, node_->shard_of_this_thread(), bytes);
}

Error MemoryAccount::refusal(Bytes asked, const Outcome& outcome, bool with_others) const noexcept {
    node_->refusals.fetch_add(1, std::memory_order_relaxed);
    return velostream::refusal(*node_, asked, outcome, with_others);
}

Error MemoryAccount::refused(Bytes asked, const Outcome& outcome) const noexcept {
    auto* const listener = node_->tree.waiters().listener();
    if (listener != nullptr && !outcome.can_never_be()) listener->on_refused(*this, asked);
    return refusal(asked, outcome);
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
        node.add_owner();
        return MemoryAccount{node}.refused(more, outcome);
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
        if (!outcome.granted()) return account.refused(bytes_, outcome);
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

std::vector<WaitingAccount> MemoryAccount::who_waits() const {
    std::vector<WaitingAccount> accounts;
    node_->tree.registry().for_each_live([&](Node& node) {
        if (node.waiting_now() == 0 || !node.try_add_owner()) return;
        const MemoryAccount account{node};
        const auto waiting = node.waiting_now();
        if (waiting == 0) return;
        accounts.push_back({.id = &node,
                            .name = node.name,
                            .waiting = waiting,
                            .used = node.granted(),
                            .limit = node.limit.load(),
                            .wanted = node.tree.waiters().wanted_first(node),
                            .returned = node.given.load()});
    });
    return accounts;
}

std::optional<MemoryShortage> MemoryAccount::shortage(Bytes bytes) const noexcept {
    std::optional<MemoryShortage> lowest;
    for (auto* level = node_; level != nullptr; level = level->parent.load()) {
        const auto limit = level->limit.load();
        if (bytes > limit) return std::nullopt;
        if (lowest) continue;
        const auto room = limit - std::min(limit, Tree::used(*level));
        if (room < bytes) lowest = {level, bytes - room};
    }
    return lowest;
}

bool MemoryAccount::is_within(const void* level) const noexcept {
    const auto* node = node_;
    while (node != nullptr && node != level) node = node->parent.load();
    return node != nullptr;
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
