// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "velostream/async/wait_queue.hpp"

namespace velostream {

/// Turns in any number of lanes: in each one after the other, in the order in which they entered; those of different
/// lanes know nothing of each other.
///
/// Threads: safe.
class LaneTurns {
    struct Place {
        explicit Place(std::string name) : lane(std::move(name)) {}

        const std::string lane;
        std::atomic<bool> has_come{false}; // written under the mutex
        WaitQueue waiting;                 // of one
    };
    using Lane = std::list<std::shared_ptr<Place>>;
    struct State {
        std::mutex mutex;
        std::unordered_map<std::string, Lane> lanes; // guarded by mutex; none is empty
    };

  public:
    LaneTurns() : state_(std::make_shared<State>()) {}

    /// A place in a lane; left when destroyed, whether the turn has come or not.
    class Turn {
      public:
        Turn(Turn&&) noexcept = default;
        Turn& operator=(Turn&&) = delete;
        ~Turn() {
            if (place_) leave();
        }

        /// Whether those in front have left.
        bool has_come() const noexcept { return place_->has_come; }

        /// Waits until they have. Once.
        ///
        /// Completes with: `error_code`: success, or `operation_aborted` for cancellation.
        template <asio::completion_token_for<WaitQueue::Signature> Token>
        auto async_wait(Token&& token) {
            return place_->waiting.async_wait_unless([place = place_]() noexcept { return place->has_come.load(); },
                                                     std::forward<Token>(token));
        }

      private:
        friend class LaneTurns;
        Turn(std::shared_ptr<State> state, std::shared_ptr<Place> place) noexcept
            : state_(std::move(state)), place_(std::move(place)) {}
        void leave() noexcept;

        std::shared_ptr<State> state_;
        std::shared_ptr<Place> place_; // null when moved from
    };

    /// The last place of a lane. Throws `std::bad_alloc`, and then it is as if nobody had entered.
    Turn enter(std::string lane);

    /// Lanes that somebody is in.
    std::size_t lanes() const {
        const std::scoped_lock lock{state_->mutex};
        return state_->lanes.size();
    }

  private:
    std::shared_ptr<State> state_;
};

} // namespace velostream
