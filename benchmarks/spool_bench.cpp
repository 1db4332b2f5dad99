// SPDX-License-Identifier: Apache-2.0
// What a spool costs beside a loop that writes and syncs as much at once, and how long it takes to open one.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

#include "process/temporary_folder.hpp"
#include "support/allocations.hpp"
#include "support/suite.hpp"
#include "velostream/async/wait_queue.hpp"
#include "velostream/spool.hpp"

namespace velostream::bench {

namespace {

constexpr std::int64_t group = 256;
const std::string kilobyte(1024, 'x');

Measure measure(const Suite& suite) {
    return {.threads = {1}, .iterations = (suite.is_smoke() ? 10 : 200) * group};
}

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error{errno, std::generic_category(), what};
}

// As many bytes at once, and nothing that says where one payload ends.
void write_fdatasync_groups(benchmark::State& state) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "file";
    const int file = ::open(path.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) fail(path);
    std::string bytes;
    for (std::int64_t index = 0; index < group; ++index) bytes += kilobyte;
    {
        const CountAllocations count{state};
        while (state.KeepRunningBatch(group)) {
            if (::write(file, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) fail("write");
            if (::fdatasync(file) != 0) fail("fdatasync");
        }
    }
    ::close(file);
}

asio::awaitable<void> append_in_turns(const Spool& spool, WaitQueue& rounds, std::int64_t& left, std::int64_t& failed,
                                      std::int64_t& unacknowledged, asio::io_context& io) {
    for (;;) {
        while (left > 0) {
            --left;
            auto appending = spool.async_append(kilobyte, TimePoint::max(), SteadyTime{}, asio::use_awaitable);
            const auto appended = co_await std::move(appending);
            if (!appended) ++failed;
            if (--unacknowledged == 0) io.stop();
        }
        co_await rounds.async_wait(asio::use_awaitable);
    }
}

// So many callers, each of whom waits until his payload is safe.
void spool_append(benchmark::State& state) {
    const TemporaryFolder folder;
    const auto spool =
        Spool::open({.directory = folder.path() / "spool", .max_size = 4_GiB, .min_free_disk = 0}).value();
    WaitQueue rounds;
    std::int64_t left = 0, failed = 0, unacknowledged = 0;
    asio::io_context io{1};
    const auto run = [&](std::int64_t payloads) {
        left = unacknowledged = payloads;
        rounds.wake_all();
        io.restart();
        io.run();
    };
    for (std::int64_t caller = 0; caller < 2 * group; ++caller)
        asio::co_spawn(io, append_in_turns(spool, rounds, left, failed, unacknowledged, io), [](std::exception_ptr) {});
    run(2 * group); // makes what all later ones use again
    {
        const CountAllocations count{state};
        while (state.KeepRunningBatch(state.max_iterations)) run(state.max_iterations);
    }
    if (failed > 0) state.SkipWithError("a payload did not come to the disk");
}

// Per payload, of a spool that a process before has left.
void recover(benchmark::State& state, std::int64_t payloads) {
    const TemporaryFolder folder;
    const SpoolConfig config{.directory = folder.path() / "spool", .max_size = 64_GiB, .min_free_disk = 0};
    {
        const auto spool = Spool::open(config).value();
        asio::io_context io;
        std::int64_t failed = 0;
        for (std::int64_t payload = 0; payload < payloads; ++payload)
            spool.async_append(
                std::string(100, 'x'), TimePoint::max(), SteadyTime{},
                asio::bind_executor(io, [&failed](const auto& appended) { failed += appended ? 0 : 1; }));
        io.run();
        if (failed > 0) return state.SkipWithError("a payload did not come to the disk");
    }
    const CountAllocations count{state};
    while (state.KeepRunningBatch(payloads)) {
        const auto spool = Spool::open(config).value();
        if (spool.waiting() != static_cast<std::uint64_t>(payloads)) state.SkipWithError("payloads are missing");
    }
}

} // namespace

void declare(Suite& suite) {
    suite.add("floor/write_fdatasync_groups", write_fdatasync_groups, measure(suite));
    suite.add("dlq/spool_append", spool_append, measure(suite));
    for (const std::int64_t payloads : {1'000, 10'000, 100'000}) {
        if (suite.is_smoke() && payloads > 1'000) continue;
        suite.add("growth/spool_recovery/" + std::to_string(payloads),
                  [payloads](benchmark::State& state) { recover(state, payloads); }, {.threads = {1}});
    }
}

} // namespace velostream::bench
