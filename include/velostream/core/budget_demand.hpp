// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace velostream {

template <class Atomics>
struct BudgetNode;

/// Units that are wanted together, at all levels or at none: of one node of a budget tree, or of several nodes of it.
template <class Atomics>
struct BudgetDemand {
    using Node = BudgetNode<Atomics>;

    struct Part {
        Node* node = nullptr;
        std::uint64_t units = 0;
    };
    static constexpr std::size_t most_parts = 8;

    Node* node = nullptr; ///< the first part, and mostly the only one
    std::uint64_t units = 0;
    std::size_t extra_count = 0;
    std::array<Part, most_parts - 1> extra{};
    Node* below = nullptr; ///< levels from this one up are left out: they have these units already

    std::size_t part_count() const noexcept { return 1 + extra_count; }
    Part part(std::size_t index) const noexcept { return index == 0 ? Part{node, units} : extra[index - 1]; }

    /// Calls `visit(level, units)` for each level, with all that is wanted there, until it returns false: part by part,
    /// each from the bottom up. A level of several parts comes once for each of them.
    template <class Visit>
    void for_each_level(Visit visit) const {
        for (std::size_t index = 0; index < part_count(); ++index) {
            for (auto* level = part(index).node; level != below; level = level->parent.load()) {
                if (!visit(*level, extra_count == 0 ? units : units_at(*level))) return;
            }
        }
    }

    /// What is wanted at one of its levels.
    std::uint64_t units_at(const Node& level) const noexcept {
        std::uint64_t sum = 0;
        for (std::size_t index = 0; index < part_count(); ++index) {
            const auto wanted = part(index);
            if (wanted.node->is_within(level)) sum += std::min(wanted.units, ~std::uint64_t{0} - sum);
        }
        return sum;
    }

    /// The level with this number, counted as `for_each_level` goes.
    Node& level(std::size_t number) const noexcept {
        Node* found = node;
        for_each_level([&](Node& level, std::uint64_t) {
            found = &level;
            return number-- != 0;
        });
        return *found;
    }
};

} // namespace velostream
