// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "velostream/async/ready_gate.hpp"
#include "velostream/base/result.hpp"

namespace velostream::detail {

// Those who wait for the circuit of one key. Made when the first of them comes, and gone when the circuit is closed and
// nobody is left. It asks the store about the key's entry, under the lock of the entry's shard: nothing here may be
// called under that lock but `withdraw_invitation`, `forget_invitations` and `set_patience`.
//
// Lifetime: keeps the store. The entry keeps the gate; the store's `close` ends that circle.
template <class Store, TimeSource Time>
class KeyedReadyGate final : public ReadyGate<Time> {
  public:
    using Shard = typename Store::Shard;
    using Value = typename Store::Value;

    KeyedReadyGate(std::shared_ptr<Store> store, Shard& shard, Value& value, std::size_t hash_of_key, Duration patience)
        : ReadyGate<Time>(store->time(), patience),
          hash(hash_of_key),
          entry(&value),
          store_(std::move(store)),
          shard_(shard) {}

    // Keeps the entry for as long as somebody waits: destroyed with the handler.
    class Stay {
      public:
        explicit Stay(const std::shared_ptr<KeyedReadyGate>& gate) noexcept : gate_(gate) {}
        Stay(Stay&&) noexcept = default;
        Stay& operator=(Stay&&) = delete;
        ~Stay() {
            if (const auto gate = gate_.lock()) gate->store_->leave(gate->shard_, *gate);
        }

      private:
        std::weak_ptr<KeyedReadyGate> gate_; // weak: the store may be closed before the handler goes
    };

    const std::size_t hash;               // of the key
    Value* entry;                         // null once it has gone, closed; guarded by the shard's mutex
    std::shared_ptr<KeyedReadyGate> next; // in a list of those that go together

  private:
    std::uint32_t admissible(TimePoint now) const override { return store_->admissible(shard_, *this, now); }
    std::optional<TimePoint> next_change(TimePoint now) const override {
        return store_->next_change(shard_, *this, now);
    }
    void settle(TimePoint now) override { store_->settle(shard_, *this, now); }
    Result<std::shared_ptr<void>> make_room(Bytes bytes) override { return store_->hold_for_waiter(bytes); }

    const std::shared_ptr<Store> store_;
    Shard& shard_;
};

} // namespace velostream::detail
