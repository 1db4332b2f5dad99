// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "velostream/async/pending_reserve.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/core/joint_reservation.hpp"

namespace velostream {

/// What waits for several budgets completes with: the reservations, in the order of the demands.
using ReserveAllSignature = void(Result<std::vector<MemoryReservation>>);

namespace detail {

/// One `async_reserve_all`: a step for each tree, one after the other, each of which takes all that is wanted there.
///
/// What the steps before have belongs to whoever has moved `turn_` last: to the thread that tries the step at hand;
/// while that waits, to nobody; to who ends the operation then. So nobody waits for a thread that stops in the middle.
class ReserveAllOperation final : public PendingReserve<std::vector<MemoryReservation>> {
  public:
    /// `demands` were checked.
    template <class Handler>
    ReserveAllOperation(std::vector<MemoryDemand> demands, asio::any_io_executor executor, Handler&& handler)
        : PendingReserve(std::move(executor), std::forward<Handler>(handler)) {
        make_steps(std::move(demands));
    }

    template <TimeSource Time>
    static void start(const std::shared_ptr<ReserveAllOperation>& operation, asio::cancellation_slot slot,
                      TimePoint deadline, const Time& time) {
        if (auto end = operation->go_on({0, Turn::Of::thread})) return operation->complete(std::move(*end));
        if (operation->watch(slot, deadline, time)) operation->wait();
    }

  private:
    using Reservations = std::vector<MemoryReservation>;

    class Step final : public JointWaiter {
      public:
        Step(ReserveAllOperation& operation, JointDemand wanted, std::vector<std::size_t> places)
            : JointWaiter(std::move(wanted)), places_(std::move(places)), operation_(operation) {}

        const std::vector<std::size_t>& places() const noexcept { return places_; }

      private:
        void on_end(Result<Reservations> result) noexcept override { operation_.step_has_ended(std::move(result)); }

        const std::vector<std::size_t> places_; // of its reservations among all
        ReserveAllOperation& operation_;
    };

    /// Where the operation stands: the step at hand, and whether a thread tries it, it waits, or all has ended.
    struct Turn {
        enum class Of : std::uint32_t { nobody, thread, ended };
        std::uint32_t step;
        Of of;
        bool operator==(const Turn&) const = default;
    };

    void make_steps(std::vector<MemoryDemand> demands);
    std::optional<Result<Reservations>> go_on(Turn mine) noexcept;
    std::optional<Result<Reservations>> end(Turn mine, std::optional<Error> error) noexcept;
    void keep(Reservations reservations, const Step& step) noexcept;
    void wait() noexcept;
    void step_has_ended(Result<Reservations> result) noexcept;

    std::shared_ptr<Step> leave();
    void give_up(Errc why) override;
    void leave_queue() noexcept override;

    std::vector<std::unique_ptr<Step>> steps_; // in the order of their trees, which is the same for everybody
    std::atomic<Turn> turn_{Turn{0, Turn::Of::thread}};
    Reservations held_; // what the steps before have
};

/// Throws what is wrong with them, before anything begins: a coroutine is told where it calls.
void check_demands(const std::vector<MemoryDemand>& demands);

} // namespace detail

/// Reserves all of `demands` or nothing, waiting for room until `deadline` at most.
///
/// What belongs to one tree, such as the accounts of one `ResourceManager`, is taken together: nothing of it is held
/// while it waits, and other requests are not held up by it. Trees (memory, query places, disk, connections) come one
/// after the other, in an order that is the same for all calls, so that no two of them wait for each other; what the
/// trees before have granted is held meanwhile.
///
/// First come first served at each account that lacks room, as for `async_reserve`. It stands in line at one of them at
/// first, so others may pass at those that had room; once it has stood at as many as there are demands it keeps its
/// places, so it is not overtaken for ever where its accounts are short by turns, and holds up those behind it at each.
///
/// Throws `std::invalid_argument`, before anything begins, for no demand and for more than eight on one tree.
///
/// Completes with: the reservations, in the order of `demands`; or an error as `async_reserve` has it, and then nothing
///                 is held any more, but for what a thread is just trying to add to: that comes back when it goes on.
///                 Through the handler's executor, never inside of this call or of a release.
/// Threads, Cancellation, Lifetime: as `async_reserve`.
template <TimeSource Time, asio::completion_token_for<ReserveAllSignature> Token>
auto async_reserve_all(std::vector<MemoryDemand> demands, TimePoint deadline, Time time, Token&& token) {
    detail::check_demands(demands);
    return asio::async_initiate<Token, ReserveAllSignature>(
        [](auto handler, std::vector<MemoryDemand> wanted, TimePoint until, const Time& clock) {
            auto executor = asio::any_io_executor{asio::get_associated_executor(handler)};
            const auto slot = asio::get_associated_cancellation_slot(handler);
            const auto operation = std::make_shared<detail::ReserveAllOperation>(std::move(wanted), std::move(executor),
                                                                                 std::move(handler));
            detail::ReserveAllOperation::start(operation, slot, until, clock);
        },
        token, std::move(demands), deadline, std::move(time));
}

/// The same without a deadline.
template <asio::completion_token_for<ReserveAllSignature> Token>
auto async_reserve_all(std::vector<MemoryDemand> demands, Token&& token) {
    return async_reserve_all(std::move(demands), TimePoint::max(), SteadyTime{}, std::forward<Token>(token));
}

} // namespace velostream
