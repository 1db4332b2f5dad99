// SPDX-License-Identifier: Apache-2.0
// Long random sequences of calls, against a reference that is nothing but sums.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "velostream/core/joint_reservation.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/core/memory_waiter.hpp"

namespace velostream::memory_reference_test {
namespace {

/// Accounts as a plain list: what each holds itself, its limit, its parent.
class Reference {
  public:
    struct Level {
        std::optional<std::size_t> parent;
        Bytes limit, held = 0;
    };
    std::vector<Level> levels;

    bool is_within(std::size_t account, std::size_t level) const {
        for (std::optional<std::size_t> at = account; at; at = levels[*at].parent)
            if (*at == level) return true;
        return false;
    }
    Bytes used(std::size_t level) const {
        Bytes sum = 0;
        for (std::size_t account = 0; account < levels.size(); ++account)
            if (is_within(account, level)) sum += levels[account].held;
        return sum;
    }
    bool has_room(std::size_t account, Bytes bytes) const {
        for (std::optional<std::size_t> at = account; at; at = levels[*at].parent)
            if (used(*at) + bytes > levels[*at].limit) return false;
        return true;
    }
    bool fits() const {
        for (std::size_t level = 0; level < levels.size(); ++level)
            if (used(level) > levels[level].limit) return false;
        return true;
    }
    /// Adds `bytes` to each of `accounts`, unless that does not fit; a part of nothing asks for nothing.
    bool add(const std::vector<std::pair<std::size_t, Bytes>>& parts) {
        for (const auto& [account, bytes] : parts) levels[account].held += bytes;
        if (fits()) return true;
        for (const auto& [account, bytes] : parts) levels[account].held -= bytes;
        return false;
    }
};

class MemoryReferenceTest : public ::testing::TestWithParam<unsigned> {
  protected:
    MemoryReferenceTest() {
        add(std::nullopt, 1000);
        add(0, 700);
        add(0, 600);
        add(1, 400);
        add(1, 500);
        add(2, 10'000); // more than all above it
    }
    void add(std::optional<std::size_t> parent, Bytes limit) {
        reference.levels.push_back({parent, limit});
        accounts.push_back(parent ? accounts[*parent].child("account", limit) : MemoryAccount{"process", limit});
    }
    void expect_same() const {
        for (std::size_t account = 0; account < accounts.size(); ++account)
            ASSERT_EQ(accounts[account].used(), reference.used(account)) << "account " << account;
    }

    Reference reference;
    std::vector<MemoryAccount> accounts;
    std::minstd_rand random{GetParam()};
};

TEST_P(MemoryReferenceTest, EveryCallEndsAsTheSumsSay) {
    struct Held {
        std::size_t account;
        MemoryReservation reservation;
    };
    std::vector<Held> held;
    for (int step = 0; step < 5000; ++step) {
        const auto account = random() % accounts.size();
        const Bytes bytes = random() % 300;
        const auto index = held.empty() ? 0 : random() % held.size();
        switch (held.empty() ? 0 : random() % 8) {
            case 0:
            case 1: {
                auto reserved = accounts[account].try_reserve(bytes);
                ASSERT_EQ(reserved.has_value(), reference.has_room(account, bytes)) << "step " << step;
                if (!reserved) break;
                reference.levels[account].held += bytes;
                held.push_back({account, std::move(*reserved)});
                break;
            }
            case 2: {
                auto& [of, reservation] = held[index];
                if (reservation.bytes() == 0) break;
                const auto grown = reservation.try_grow(bytes);
                ASSERT_EQ(grown.has_value(), reference.has_room(of, bytes)) << "step " << step;
                if (grown) reference.levels[of].held += bytes;
                break;
            }
            case 3: {
                auto& [of, reservation] = held[index];
                const auto before = reservation.bytes();
                reservation.shrink(bytes);
                reference.levels[of].held -= before - reservation.bytes();
                break;
            }
            case 4: {
                auto part = held[index].reservation.split(bytes);
                held.push_back({held[index].account, std::move(part)});
                break;
            }
            case 5: {
                const auto other = random() % accounts.size();
                const Bytes more = random() % 300;
                auto reserved = try_reserve_all({{accounts[account], bytes}, {accounts[other], more}});
                ASSERT_EQ(reserved.has_value(), reference.add({{account, bytes}, {other, more}})) << "step " << step;
                if (!reserved) break;
                held.push_back({account, std::move((*reserved)[0])});
                held.push_back({other, std::move((*reserved)[1])});
                break;
            }
            case 6: {
                auto& [of, reservation] = held[index];
                reference.levels[of].held -= reservation.bytes();
                const bool fits = reference.add({{account, reservation.bytes()}});
                if (!fits) reference.levels[of].held += reservation.bytes();
                ASSERT_EQ(reservation.try_transfer(accounts[account]).has_value(), fits) << "step " << step;
                if (fits) of = account;
                break;
            }
            default:
                reference.levels[held[index].account].held -= held[index].reservation.bytes();
                std::swap(held[index], held.back());
                held.pop_back();
        }
        if (step % 50 == 0) expect_same();
    }
    held.clear();
    for (auto& level : reference.levels) level.held = 0;
    expect_same();
}

/// Counts for its account while it is granted.
class Request final : public MemoryWaiter {
  public:
    Request(MemoryAccount account, Bytes bytes, std::size_t index)
        : MemoryWaiter(std::move(account), bytes), of(index) {}

    const std::size_t of;
    std::optional<Result<MemoryReservation>> result;

  private:
    void on_end(Result<MemoryReservation> ended) noexcept override { result.emplace(std::move(ended)); }
};

class MemoryWaitingReferenceTest : public MemoryReferenceTest {
  protected:
    /// Whether `earlier` lacks room at a level that `later` needs, too.
    bool stands_before(const Request& earlier, const Request& later) const {
        for (std::size_t level = 0; level < accounts.size(); ++level)
            if (reference.is_within(earlier.of, level) && reference.is_within(later.of, level) &&
                reference.used(level) + earlier.bytes() > reference.levels[level].limit)
                return true;
        return false;
    }
};

TEST_P(MemoryWaitingReferenceTest, WhoWaitsIsGrantedAsSoonAsItsTurnHasComeAndItFits) {
    std::deque<std::shared_ptr<Request>> waiting;
    std::vector<std::shared_ptr<Request>> granted;
    const auto collect = [&] {
        std::erase_if(waiting, [&](const auto& request) {
            if (!request->result) return false;
            EXPECT_TRUE(request->result->has_value());
            reference.levels[request->of].held += request->bytes();
            granted.push_back(request);
            return true;
        });
    };
    for (int step = 0; step < 3000; ++step) {
        const auto account = random() % accounts.size();
        if (random() % 2 == 0) {
            const Bytes most = std::min<Bytes>(400, *accounts[account].lowest_limit());
            auto request = std::make_shared<Request>(accounts[account], 1 + random() % most, account);
            request->result = request->try_now();
            waiting.push_back(request);
            if (!request->result) MemoryWaiter::wait(request);
        } else if (!granted.empty() && random() % 4 != 0) {
            const auto index = random() % granted.size();
            reference.levels[granted[index]->of].held -= granted[index]->bytes();
            std::swap(granted[index], granted.back());
            granted.back()->result.reset();
            granted.pop_back();
        } else if (!waiting.empty()) {
            const auto index = random() % waiting.size();
            EXPECT_TRUE(MemoryWaiter::leave(waiting[index]));
            waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(index));
        }
        collect();
        expect_same();
        // Nobody waits who fits, unless one who came before waits at a level of its way.
        for (std::size_t later = 0; later < waiting.size(); ++later) {
            if (!reference.has_room(waiting[later]->of, waiting[later]->bytes())) continue;
            bool is_behind = false;
            for (std::size_t earlier = 0; earlier < later; ++earlier)
                is_behind = is_behind || stands_before(*waiting[earlier], *waiting[later]);
            ASSERT_TRUE(is_behind) << "step " << step << ", waiter " << later;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, MemoryReferenceTest, ::testing::Range(1U, 21U));
INSTANTIATE_TEST_SUITE_P(Seeds, MemoryWaitingReferenceTest, ::testing::Range(1U, 21U));

} // namespace
} // namespace velostream::memory_reference_test
