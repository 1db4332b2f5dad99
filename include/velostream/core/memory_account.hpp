// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cassert>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "velostream/base/result.hpp"
#include "velostream/base/units.hpp"
#include "velostream/core/budget_atomics.hpp"
#include "velostream/core/budget_tree.hpp"

namespace velostream {

class MemoryAccount;

extern template class BudgetTree<MachineAtomics>;

/// Bytes that were granted by a `MemoryAccount`, until this object ends. Move-only.
///
/// Threads:  belongs to one thread or coroutine at a time; it may be released by another thread than it was made by.
/// Lifetime: as long as it has bytes, it keeps what it needs of its account, and they go on counting in the accounts
///           above. Handles may be dropped at any time, also while another thread gives the bytes back. A reservation
///           without bytes may grow only while the account has a handle.
class MemoryReservation {
  public:
    /// Nothing, of no account: only to be assigned to.
    MemoryReservation() noexcept = default;
    MemoryReservation(MemoryReservation&& other) noexcept
        : shard_(other.shard_), bytes_(std::exchange(other.bytes_, 0)) {}
    MemoryReservation& operator=(MemoryReservation&& other) noexcept {
        if (this == &other) return *this;
        release();
        shard_ = other.shard_;
        bytes_ = std::exchange(other.bytes_, 0);
        return *this;
    }
    ~MemoryReservation() {
        if (bytes_ != 0) put_back(bytes_);
    }

    Bytes bytes() const noexcept { return bytes_; }

    /// Reserves `more` in addition, or changes nothing.
    ///
    /// Errors: as `MemoryAccount::try_reserve`.
    Result<void> try_grow(Bytes more) noexcept;

    /// Gives back `fewer` bytes of it; all of them if it has no more.
    void shrink(Bytes fewer) noexcept {
        fewer = fewer < bytes_ ? fewer : bytes_;
        bytes_ -= fewer;
        if (fewer != 0) put_back(fewer);
    }

    /// Gives everything back now.
    void release() noexcept { shrink(bytes_); }

    /// Makes these bytes those of `account`, or changes nothing. Accounts above both are not asked again: they have the
    /// bytes all the time. For a moment both accounts have them. Between accounts of different trees it is a
    /// reservation there and a release here.
    ///
    /// Errors: as `MemoryAccount::try_reserve`, from the accounts that are not above both.
    Result<void> try_transfer(const MemoryAccount& account) noexcept;

    /// A reservation of its own with `part` of these bytes; all of them if there are no more. Touches no account.
    [[nodiscard]] MemoryReservation split(Bytes part) noexcept {
        part = part < bytes_ ? part : bytes_;
        bytes_ -= part;
        return MemoryReservation{*shard_, part};
    }

    /// Takes over the bytes of `other`, which must come from the same account. Touches no account.
    void merge(MemoryReservation&& other) noexcept {
        if (this == &other) return;
        assert(shard_ != nullptr && other.shard_ != nullptr && shard_->node == other.shard_->node);
        bytes_ += std::exchange(other.bytes_, 0);
    }

  private:
    friend class MemoryAccount;
    friend class MemoryWaiter;
    friend class JointDemand;
    using Shard = BudgetShard<MachineAtomics>;

    MemoryReservation(Shard& shard, Bytes bytes) noexcept : shard_(&shard), bytes_(bytes) {}

    void put_back(Bytes bytes) noexcept {
        if (!shard_->try_put(bytes)) [[unlikely]]
            BudgetTree<MachineAtomics>::give(*shard_, bytes);
    }

    Shard* shard_ = nullptr; // where the bytes were taken, and where they go back
    Bytes bytes_ = 0;
};

/// How far those who wait may overtake the one who waits longest at an account, with room there and further up. By
/// default not at all. Who waits behind him at an account further down passes him only if that one allows it, too.
struct Overtaking {
    std::uint64_t most = 0; ///< how many may be granted before him
    Bytes most_bytes = 0;   ///< and how much they may have together
};

/// What an account is for.
enum class AccountRole : std::uint8_t { plain, query, state_of_query, traffic_of_query };

/// An account for which somebody waits.
struct WaitingAccount {
    const void* id = nullptr; ///< the same as long as somebody waits there
    std::string name;
    std::uint64_t waiting = 0;
    Bytes used = 0, limit = 0;
    Bytes wanted = 0;           ///< there by the one who waits longest
    std::uint64_t returned = 0; ///< grows whenever something comes back here or below while somebody waits
};

/// A level that lacks room.
struct MemoryShortage {
    const void* level = nullptr; ///< its id
    Bytes missing = 0;
};

/// A level in a tree of memory limits: the process, a query, an operator. A reservation counts here and at every level
/// above, and is granted only if all of them have room; so what is reserved never exceeds any limit, at any instant,
/// for any number of threads.
///
/// This is a handle: copies mean the same account, which lives as long as a handle, a child or a reservation of it.
///
/// Threads: safe to share. Everything is lock-free but for the allocation of memory; reserving and giving back are
///          mostly one uncontended atomic operation each. Only a thread's very first call takes a lock, of the C
///          library, to be told apart from others.
class MemoryAccount {
  public:
    /// An account of its own without a limit: what components use if no other is given.
    MemoryAccount() : MemoryAccount("unlimited") {}
    static MemoryAccount unlimited() { return MemoryAccount{}; }

    /// The root of a new tree. Unset `limit`: nothing is refused.
    /// `listener` is told who begins and ends to wait in it, who is refused, of marks that its use passes, and of its
    /// limit.
    explicit MemoryAccount(std::string name, std::optional<Bytes> limit = std::nullopt,
                           std::shared_ptr<WaitingListener> listener = nullptr);

    /// The same for what is no memory: of `unit`, one for each. What is called bytes here is that many of them, also in
    /// all accounts below, and a refusal has the code and the words of that unit.
    MemoryAccount(std::string name, BudgetUnit unit, std::optional<std::uint64_t> limit = std::nullopt,
                  std::shared_ptr<WaitingListener> listener = nullptr);

    /// What this account counts.
    BudgetUnit unit() const noexcept { return node_->tree.unit(); }

    /// A new account below this one, with a limit of its own if one is given. It may hold bytes itself and have
    /// children. `role`: for `for_each`.
    ///
    /// Errors: throws `std::length_error` below the 1000th level, and `std::bad_alloc`.
    MemoryAccount child(std::string name, std::optional<Bytes> limit = std::nullopt,
                        AccountRole role = AccountRole::plain) const;

    MemoryAccount(const MemoryAccount& other) noexcept : node_(other.node_) {
        if (node_ != nullptr) node_->add_owner();
    }
    MemoryAccount(MemoryAccount&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
    MemoryAccount& operator=(MemoryAccount other) noexcept {
        std::swap(node_, other.node_);
        return *this;
    }
    ~MemoryAccount() { Tree::drop_owner(node_); }

    /// Takes `bytes` from this account and from every account above it, or from none. Exactly up to the limit is
    /// allowed.
    ///
    /// Errors:   `Errc::memory_limit_exceeded` (of what is no memory: what `refusal_code` says) if at some moment
    ///           during the call an account on the way lacked room, credit cached by other threads included, or if
    ///           requests wait there that came before. The detail names that account, what was asked, used and allowed,
    ///           the three largest holders (what that account holds itself, and the accounts right below it; where
    ///           there are more than 4096 accounts the largest of those that this refusal and the ones before it looked
    ///           at, about 4096 each), and whether waiting could help; a request above a limit never succeeds.
    /// Threads:  safe; lock-free.
    [[nodiscard]] Result<MemoryReservation> try_reserve(Bytes bytes) const noexcept {
        auto* shard = &node_->shard_of_this_thread();
        if (!shard->try_take(bytes)) [[unlikely]] {
            const auto outcome = take_from_tree(bytes);
            if (!outcome.granted()) return refused(bytes, outcome);
            shard = &node_->shard_of_this_thread(); // it may have chosen one
        }
        return MemoryReservation{*shard, bytes};
    }

    std::string_view name() const noexcept { return node_->name; }

    /// Unset if nothing is refused at this level.
    std::optional<Bytes> limit() const noexcept;

    /// The lowest limit at this level and all above it: more than that is never granted, as limits are now. Unset if
    /// there is none.
    std::optional<Bytes> lowest_limit() const noexcept;

    /// Changes the limit; unset lifts it. It may go below what is used: then nothing is granted until enough came back.
    /// Who waits here or below for more than the new limit is refused now.
    void set_limit(std::optional<Bytes> limit) const noexcept;

    /// Bytes reserved in this account and below it. Exact if nothing changes during the call; while other threads work
    /// it is never less than what was reserved at some moment of the call, and more by at most the credit that they
    /// cache.
    Bytes used() const noexcept { return Tree::used(*node_); }

    /// Whether `used()` costs about a microsecond at most: few accounts of the tree are in place, and hardly any of
    /// them has credit that threads cache.
    bool is_used_cheap() const noexcept {
        const auto& registry = node_->tree.registry();
        return registry.live_count() <= 4096 && registry.open_count() <= 64;
    }

    /// At a few loads' cost: never less than `used()`, and more by what threads cache.
    Bytes used_at_most() const noexcept { return node_->granted(); }

    /// The most that was ever granted to this account and below it: never less than the highest use, and more by at
    /// most the credit that was cached then (at most 2 MiB a core and account; an account that is used rarely caches
    /// nothing).
    Bytes peak() const noexcept { return node_->peak.load(); }

    /// What could be reserved here now, for the account itself and all above it.
    Bytes available() const noexcept;

    /// The lowest level, from here up, that lacks room for `bytes` more, and how much is missing there; unset if none
    /// does, and if they are above a limit, so that no room would do.
    std::optional<MemoryShortage> shortage(Bytes bytes) const noexcept;

    /// Lets the tree's listener be told whenever somebody takes or gives more than threads have at hand, and less than
    /// `low` or at least `high` is then granted to the root. Until it is set anew.
    void set_marks(Bytes low, Bytes high) const noexcept { node_->tree.marks().set(low, high); }

    /// What those who waited were granted, in this account and below it, since it was made; only counted where the tree
    /// has a listener.
    Bytes handed_over() const noexcept { return node_->handed_over.load(); }

    /// What tells accounts apart: that of one is never that of another while both have handles.
    const void* id() const noexcept { return node_; }
    /// Whether this is the account with that id, or one below it.
    bool is_within(const void* level) const noexcept;
    /// Whether nobody has another handle of this account, or one of an account below it.
    bool is_last_handle() const noexcept { return node_->owner_count() == 1; }
    /// The account right above this one; unset if this is the root.
    std::optional<MemoryAccount> parent() const noexcept;

    /// Calls of this account that were refused, whichever level refused them.
    std::uint64_t refusals() const noexcept { return node_->refusals.load(std::memory_order_relaxed); }

    /// Lets small requests that wait here pass a large one that does not fit yet, so far and no further: then it is its
    /// turn, whatever fits. Calls that do not wait never overtake.
    void set_overtaking(const Overtaking& allowed) const noexcept;

    /// How many requests wait in this account's own queue: for room here, or behind one who does; and those who keep
    /// their place here while they wait for room further up.
    std::size_t waiting() const noexcept { return node_->waiting_now(); }

    /// Whether anybody waits anywhere in this tree; at one load's cost.
    bool anyone_waits() const noexcept { return node_->tree.waiters().any(); }

    /// Every account of this tree for which somebody waits. Looks at all accounts: not for hot paths.
    std::vector<WaitingAccount> who_waits() const;

    /// Calls `visit(account)` for every account of this tree that was made with `role` and has a handle, or of which
    /// something is held. One that is made meanwhile may be left out: then whoever makes it sees, once he has it, what
    /// was changed before this call. Looks at all accounts: not for hot paths.
    template <class Visit>
    void for_each(AccountRole role, Visit visit) const {
        node_->tree.registry().for_each_live([&](Node& node) {
            if (Tree::try_own(node, static_cast<std::uint8_t>(role))) visit(MemoryAccount{node});
        });
    }

    /// Whether both are handles of one account.
    friend bool operator==(const MemoryAccount& left, const MemoryAccount& right) noexcept {
        return left.node_ == right.node_;
    }

  private:
    friend class MemoryReservation;
    friend class MemoryWaiter;
    friend class JointDemand;
    friend class AccountedResource; // whose blocks have no room for a reservation
    using Tree = BudgetTree<MachineAtomics>;
    using Node = Tree::Node;

    explicit MemoryAccount(Node& node) noexcept : node_(&node) {}
    // From and to the credit that this thread has at hand; false says nothing about the account.
    bool try_take_at_hand(Bytes bytes) const noexcept { return node_->shard_of_this_thread().try_take(bytes); }
    bool try_give_at_hand(Bytes taken) const noexcept { return node_->shard_of_this_thread().try_put(taken); }
    // As `try_reserve`, without a reservation that remembers it.
    std::optional<Error> take(Bytes bytes) const noexcept {
        if (node_->shard_of_this_thread().try_take(bytes)) return std::nullopt;
        const auto outcome = take_from_tree(bytes);
        return outcome.granted() ? std::nullopt : std::optional{refused(bytes, outcome)};
    }
    void give(Bytes taken) const noexcept {
        auto* shard = &node_->shard_of_this_thread();
        if (shard->try_put(taken)) return;
        if (shard->node == nullptr) shard = &node_->shard(0); // this thread has none
        Tree::give(*shard, taken);
    }
    Tree::Outcome take_from_tree(Bytes bytes) const noexcept;
    Error refusal(Bytes asked, const Tree::Outcome& outcome, bool with_others = false) const noexcept;
    // The same for a call that does not wait; the tree's listener is told.
    Error refused(Bytes asked, const Tree::Outcome& outcome) const noexcept;

    Node* node_; // null only after a move
};

} // namespace velostream
