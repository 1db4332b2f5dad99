// SPDX-License-Identifier: Apache-2.0
//
// A server goes away for some seconds while fifty borrowers ask a pool for connections again and again, each with one
// second. One outage gives four rows: how long a borrower is not told the cause though a connect has failed, the time
// between connects meanwhile, how long after the server is back the first borrower is served, and how long after him
// the last of the fifty. `_refused`: who connects is refused; `_hung`: nobody is ever answered, also by what hung when
// the server came back. The rows by a simulated clock are the worst of outages of 3, 4, … 17 s.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pools/simulated_server.hpp"
#include "support/shared_trial.hpp"
#include "support/suite.hpp"
#include "velostream/connection_pool.hpp"

namespace velostream::bench {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t borrowers = 50;
constexpr auto pause_of_borrowers = 20ms;

struct Figures {
    Duration cause{};
    Duration between_connects = Duration::max();
    Duration first_served{};
    Duration all_served{};

    void worsen(const Figures& other) {
        cause = std::max(cause, other.cause);
        between_connects = std::min(between_connects, other.between_connects);
        first_served = std::max(first_served, other.first_served);
        all_served = std::max(all_served, other.all_served);
    }
};

template <class Time>
class Outage {
    using Server = SimulatedServer<Time>;

  public:
    using State = typename Server::State;

    /// `patience`: of borrowers and whoever else has no answer.
    Outage(State how, Duration length, Duration patience, std::uint64_t seed)
        : how_(how),
          length_(length),
          server_(time_, {.connect = 5ms, .query = 2ms, .patience = patience}),
          pool_(io_.get_executor(), {.max_size = 10, .min_idle = 10, .connection_timeout = patience},
                typename Server::Factory{server_},
                {.on_connect = [this](const Result<void>& connected) { note_connect(connected); }, .seed = seed},
                time_) {}

    Figures run() {
        for (auto& each : borrower_) asio::co_spawn(io_, borrow(each), rethrow);
        run_until([this] { return are_all_served(); }); // it is warm
        run_for(200ms);

        const auto went_at = time_.now();
        server_.forget_connects();
        server_.change(how_);
        is_out_ = true;
        run_for(length_);

        const auto back_at = time_.now();
        const auto connects = connects_between(failed_at_.value_or(went_at), back_at);
        const auto told = told_within(back_at);
        for (auto& each : borrower_) each.served_at.reset();
        server_.change(State::up);
        is_out_ = false;
        run_until([this] { return are_all_served(); });
        is_over_ = true;
        run_until([this] { return gone_ == borrowers; });

        const auto [first, last] = std::ranges::minmax(borrower_, {}, [](const auto& each) { return *each.served_at; });
        return {.cause = told,
                .between_connects = (back_at - failed_at_.value_or(went_at)) / std::max<std::size_t>(connects, 1),
                .first_served = *first.served_at - back_at,
                .all_served = *last.served_at - *first.served_at};
    }

  private:
    struct Borrower {
        std::optional<TimePoint> served_at{}; // first, since the server is up
        std::optional<Duration> told_after{}; // since a connect has failed in the outage, or he asked
    };

    asio::awaitable<void> borrow(Borrower& self) {
        while (!is_over_) {
            const auto asked_at = time_.now();
            auto borrowing = pool_.get_connection();
            auto lease = co_await std::move(borrowing);
            if (lease) {
                auto asking = server_.query(**lease);
                const auto answer = co_await std::move(asking);
                if (!answer) lease->mark_broken();
                if (answer && !self.served_at) self.served_at = time_.now();
            } else if (is_out_ && failed_at_ && lease.error().inner() && !self.told_after) {
                self.told_after = time_.now() - std::max(asked_at, *failed_at_);
            }
            lease = Error{};
            auto pausing = pause_until(time_, time_.now() + pause_of_borrowers);
            co_await std::move(pausing);
        }
        ++gone_;
    }

    void note_connect(const Result<void>& connected) {
        if (is_out_ && !connected && !failed_at_) failed_at_ = time_.now();
    }
    bool are_all_served() const {
        return std::ranges::all_of(borrower_, [](const auto& each) { return each.served_at.has_value(); });
    }
    // Without those that the pool had decided on before it heard of the failed one.
    std::size_t connects_between(TimePoint failed_at, TimePoint back_at) const {
        return static_cast<std::size_t>(std::ranges::count_if(
            server_.connects(), [&](TimePoint at) { return failed_at + 10ms < at && at < back_at; }));
    }
    // Who was never told has not been told for all the time.
    Duration told_within(TimePoint end) const {
        Duration longest{};
        for (const auto& each : borrower_)
            longest = std::max(longest, each.told_after.value_or(end - failed_at_.value_or(end - length_)));
        return longest;
    }

    template <class Predicate>
    void run_until(Predicate is_done) {
        run_while_not(io_, time_, is_done);
    }
    void run_for(Duration length) {
        bool is_over = false;
        auto waiting = [this, length, &is_over]() -> asio::awaitable<void> {
            auto pausing = pause_until(time_, time_.now() + length);
            co_await std::move(pausing);
            is_over = true;
        };
        asio::co_spawn(io_, waiting(), rethrow);
        run_until([&] { return is_over; });
    }

    asio::io_context io_{1};
    const State how_;
    const Duration length_;
    Time time_;
    Server server_;
    std::vector<Borrower> borrower_ = std::vector<Borrower>(borrowers);
    std::optional<TimePoint> failed_at_; // the first connect in the outage
    std::size_t gone_ = 0;
    bool is_out_ = false;
    bool is_over_ = false;
    ConnectionPool<typename Server::Factory, Time> pool_;
};

using RealOutage = Outage<SteadyTime>;
using SimulatedOutage = Outage<testing::ManualTime>;

Figures worst_of_many(SimulatedOutage::State how, std::uint64_t& seed, Duration longest) {
    Figures worst;
    for (Duration length = 3s; length <= longest; length += 1s)
        worst.worsen(SimulatedOutage{how, length, 1s, ++seed}.run());
    return worst;
}

void add_rows(Suite& suite, const std::string& prefix, const std::string& how, std::function<Figures()> outage) {
    const auto trial = std::make_shared<SharedTrial<Figures>>(std::move(outage));
    const std::pair<const char*, Duration Figures::*> rows[] = {{"cause", &Figures::cause},
                                                                {"between_connects", &Figures::between_connects},
                                                                {"first_served", &Figures::first_served},
                                                                {"all_served", &Figures::all_served}};
    for (const auto& [name, shown] : rows) {
        const auto row = prefix + name + how;
        suite.add(row,
                  [trial, row, figure = shown](benchmark::State& state) {
                      for (auto _ : state) benchmark::DoNotOptimize(state.iterations());
                      report_instead(state, static_cast<double>((trial->for_row(row).*figure).count()), 0);
                  },
                  {.threads = {1}, .iterations = 1});
    }
}

} // namespace

void declare(Suite& suite) {
    const Duration length = suite.is_smoke() ? 500ms : 3s;
    const Duration patience = suite.is_smoke() ? 100ms : 1s;
    const auto seed = std::make_shared<std::uint64_t>(0); // so that each repetition has other outages
    for (const bool hangs : {false, true}) {
        const std::string how = hangs ? "_hung" : "_refused";
        const auto real = hangs ? RealOutage::State::hangs : RealOutage::State::refuses;
        const auto simulated = hangs ? SimulatedOutage::State::hangs : SimulatedOutage::State::refuses;
        add_rows(suite, "pool/outage_", how, [=] { return RealOutage{real, length, patience, ++*seed}.run(); });
        add_rows(suite, "pool/simulated_outage_", how,
                 [=, longest = suite.is_smoke() ? 3s : 17s] { return worst_of_many(simulated, *seed, longest); });
    }
}

} // namespace velostream::bench
