// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "support/temporary_folder.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/sqlite/connections.hpp"

namespace velostream::sqlite {
namespace {

// What all of them know.
struct Ledger {
    std::atomic<std::int64_t> written{0}, unknown{0};
    std::atomic<int> ended{0};
};

// Writes, reads and is too impatient at times. A connection comes and goes.
asio::awaitable<void> work(Connections& connections, Ledger& ledger, unsigned seed) {
    std::minstd_rand random{seed};
    for (int round = 0; round < 3; ++round) {
        CallContext unhurried;
        auto opening = connections.open(unhurried);
        auto opened = co_await std::move(opening);
        if (!opened) continue;
        auto& connection = *opened;
        for (int i = 0; i < 25; ++i) {
            CallContext call;
            if (random() % 4 == 0) call = CallContext{SteadyTime{}.now() + std::chrono::microseconds{random() % 3000}};
            if (random() % 3 == 0) {
                auto query = connection.query(Statement{"SELECT count(*), sum(n) FROM t"}, call);
                const auto read = co_await std::move(query);
                EXPECT_TRUE(!read || (*read)[0].get<std::int64_t>(0).value() >= 0);
            } else {
                auto insert = connection.execute(Statement{"INSERT INTO t VALUES (?)", i}, call);
                const auto written = co_await std::move(insert);
                if (written)
                    ++ledger.written;
                else if (written.error().has_unknown_outcome())
                    ++ledger.unknown;
            }
        }
    }
}

TEST(SqliteStress, ConnectionsOfSeveralThreadsShareTheirsAndLoseNothing) {
    TemporaryFolder folder;
    Connections connections{{.path = folder / "test.db", .threads = 3}};
    Ledger ledger;
    asio::io_context io;
    asio::co_spawn(
        io,
        [&]() -> asio::awaitable<void> {
            CallContext call;
            auto opening = connections.open(call);
            auto connection = (co_await std::move(opening)).value();
            auto making = connection.execute("CREATE TABLE t (n INT)");
            static_cast<void>((co_await std::move(making)).value());
        },
        [](std::exception_ptr failed) { EXPECT_FALSE(failed); });
    io.run();
    io.restart();

    constexpr int workers = 8;
    std::vector<std::unique_ptr<asio::cancellation_signal>> signals;
    std::vector<asio::strand<asio::io_context::executor_type>> strands;
    for (int i = 0; i < workers; ++i) {
        signals.push_back(std::make_unique<asio::cancellation_signal>());
        strands.push_back(asio::make_strand(io));
        asio::co_spawn(
            strands.back(), work(connections, ledger, static_cast<unsigned>(i + 1)),
            asio::bind_cancellation_slot(signals.back()->slot(), [&](std::exception_ptr) { ++ledger.ended; }));
    }
    // The last one is cancelled in the middle.
    asio::post(strands.back(), [&] { signals.back()->emit(asio::cancellation_type::terminal); });
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) threads.emplace_back([&io] { io.run(); });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(ledger.ended, workers);

    io.restart();
    std::int64_t found = -1;
    asio::co_spawn(
        io,
        [&]() -> asio::awaitable<void> {
            CallContext call;
            auto opening = connections.open(call);
            auto connection = (co_await std::move(opening)).value();
            auto counting = connection.query("SELECT count(*) FROM t");
            found = (co_await std::move(counting)).value()[0].get<std::int64_t>(0).value();
        },
        [](std::exception_ptr failed) { EXPECT_FALSE(failed); });
    io.run();
    EXPECT_GE(found, ledger.written);
    EXPECT_LE(found, ledger.written + ledger.unknown) << ledger.unknown;
}

TEST(SqliteStress, ContextsEndInTheMiddle) {
    TemporaryFolder folder;
    Connections connections{{.path = folder / "test.db", .threads = 3}};
    Ledger ledger;
    for (unsigned round = 0; round < 20; ++round) {
        asio::io_context io;
        for (unsigned i = 0; i < 4; ++i)
            asio::co_spawn(asio::make_strand(io), work(connections, ledger, round * 4 + i), [](std::exception_ptr) {});
        std::thread other{[&io, round] { io.run_for(std::chrono::milliseconds{round}); }};
        io.run_for(std::chrono::milliseconds{round});
        other.join();
    }
}

} // namespace
} // namespace velostream::sqlite
