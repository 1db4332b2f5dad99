// SPDX-License-Identifier: Apache-2.0
#include "largest_holders.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace velostream {

namespace {

using Tree = BudgetTree<MachineAtomics>;
using Node = Tree::Node;

// Looking at so many takes about 20 µs (6 µs for 1 000, 60 µs for 10 000, where they no longer lie in the cache), and a
// refusal is often somebody’s cue to try again.
constexpr std::size_t most_accounts = 4096;

// A node that is kept in place, so that its name may be read.
class KeptNode {
  public:
    KeptNode() noexcept = default;
    // None if it has no owner.
    explicit KeptNode(Node& node) noexcept : node_(node.try_add_owner() ? &node : nullptr) {}
    KeptNode(KeptNode&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
    KeptNode& operator=(KeptNode other) noexcept {
        std::swap(node_, other.node_);
        return *this;
    }
    ~KeptNode() { Tree::drop_owner(node_); }

    const Node* get() const noexcept { return node_; }

  private:
    Node* node_ = nullptr;
};

struct Holder {
    std::uint64_t units = 0;
    KeptNode account;
    std::string name = {}; // where it is no account
};

// What is seen while others work is of no one moment: good enough to look for who holds much.
class LargestHolders {
  public:
    explicit LargestHolders(Node& level) : level_(level) {
        const auto accounts = level.tree.registry().live_count();
        if (accounts > most_accounts)
            look_at_some(accounts);
        else
            look_at_all();
    }

    bool is_all_its_own() const noexcept { return is_all_its_own_; }

    std::string text() const {
        std::string text;
        for (const auto& holder : largest_) {
            if (holder.units == 0) break;
            const auto* account = holder.account.get();
            text.append(text.empty() ? intro_ : ", ").append(account ? account->name : holder.name);
            text.append(" ").append(std::to_string(holder.units));
        }
        if (not_seen_ > largest_.back().units)
            text.append(text.empty() ? intro_ : ", ")
                .append(level_.name + " itself and accounts not looked at " + std::to_string(not_seen_));
        return text;
    }

  private:
    void look_at_all() {
        const auto before = level_.granted();
        level_.tree.registry().for_each_live([this](Node& node) { look_at(node); });
        const auto granted = std::min(before, level_.granted()); // else what came back meanwhile would be its own
        is_all_its_own_ = below_ == 0;
        insert({ended_, {}, "accounts that ended"});
        insert({granted - std::min(granted, below_), {}, level_.name + " itself"});
    }

    // Each refusal goes on where the one before has stopped, and remembers who held most.
    void look_at_some(std::size_t accounts) {
        const auto before = level_.granted();
        intro_ = "; largest seen of " + std::to_string(accounts) + " accounts: ";
        std::array<Node*, 3> remembered{};
        for (std::size_t index = 0; index < remembered.size(); ++index) {
            auto* const node = level_.largest_seen[index].load(std::memory_order_acquire);
            // Two calls at once may have left one of them twice.
            if (node == nullptr || std::ranges::find(remembered, node) != remembered.end()) continue;
            remembered[index] = node;
            look_at(*node);
        }
        level_.tree.registry().for_some_live(level_.looked_up_to, most_accounts, [&](Node& node) {
            if (std::ranges::find(remembered, &node) == remembered.end()) look_at(node); // counted already
        });
        for (std::size_t index = 0; index < largest_.size(); ++index)
            level_.largest_seen[index].store(const_cast<Node*>(largest_[index].account.get()),
                                             std::memory_order_release);
        insert({ended_, {}, "accounts that ended"});
        const auto granted = std::min(before, level_.granted());
        not_seen_ = granted - std::min(granted, below_);
    }

    void look_at(Node& node) {
        if (node.parent.load() != &level_) return;
        const auto units = node.granted();
        if (units == 0) return;
        below_ += units;
        if (node.owner_count() == 0) { // only its units keep it
            ended_ += units;
            return;
        }
        if (units <= largest_.back().units) return;
        KeptNode kept{node};
        if (kept.get() == nullptr || node.parent.load() != &level_) return;
        // Several accounts may have come and gone at this place while it was counted; this one stays from here on.
        insert({std::min(units, node.granted()), std::move(kept)});
    }

    void insert(Holder holder) {
        for (auto& place : largest_) {
            if (place.units < holder.units) std::swap(place, holder);
        }
    }

    Node& level_;
    std::string intro_ = "; largest: ";
    std::array<Holder, 3> largest_; // none that holds nothing
    std::uint64_t below_ = 0, ended_ = 0, not_seen_ = 0;
    bool is_all_its_own_ = false;
};

} // namespace

std::string largest_holders(const Node& account, const Node& level) {
    const LargestHolders largest{const_cast<Node&>(level)}; // for the hints in it
    return &account == &level && largest.is_all_its_own() ? std::string{} : largest.text();
}

} // namespace velostream
