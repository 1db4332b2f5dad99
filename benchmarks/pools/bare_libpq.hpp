// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <libpq-fe.h>
#include <poll.h>

#include <array>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace velostream::bench {

/// Connections of libpq and nothing else: one prepared statement with one parameter, and `poll()`.
class BareLibpq {
  public:
    BareLibpq(const std::string& dsn, std::size_t connections, const char* sql) {
        for (std::size_t count = 0; count < connections; ++count) {
            auto& connection = connections_.emplace_back(PQconnectdb(dsn.c_str()));
            expect(PQstatus(connection.get()) == CONNECTION_OK);
            const Answer prepared{PQprepare(connection.get(), name, sql, 0, nullptr)};
            expect(PQresultStatus(prepared.get()) == PGRES_COMMAND_OK);
            expect(PQsetnonblocking(connection.get(), 1) == 0);
            polled_.push_back({.fd = PQsocket(connection.get()), .events = POLLIN, .revents = 0});
        }
    }

    struct Clear {
        void operator()(PGresult* result) const noexcept { PQclear(result); }
    };
    using Answer = std::unique_ptr<PGresult, Clear>;

    void ask(std::size_t connection, const std::string& value) {
        send(connection, value);
        flush(connection);
    }
    /// The number of a connection that has an answer: waits for one.
    std::size_t wait_for_any() {
        for (;;) {
            for (; next_ < polled_.size(); ++next_) {
                if (polled_[next_].revents == 0) continue;
                polled_[next_].revents = 0;
                expect(PQconsumeInput(connections_[next_].get()) == 1);
                if (PQisBusy(connections_[next_].get()) == 0) return next_;
            }
            next_ = 0;
            expect(::poll(polled_.data(), polled_.size(), -1) > 0);
        }
    }
    Answer answer(std::size_t connection) {
        Answer result{PQgetResult(connections_[connection].get())};
        while (const Answer end{PQgetResult(connections_[connection].get())}) expect(false);
        expect(PQntuples(result.get()) == 1);
        return result;
    }

    // The same by batches on the first connection.
    void begin_pipelines() { expect(PQenterPipelineMode(first()) == 1); }
    void ask_all(const std::vector<std::string>& values) {
        for (const auto& value : values) send(0, value);
        expect(PQpipelineSync(first()) == 1);
        flush(0);
    }
    /// Calls `take(result)` for each answer.
    template <class Take>
    void answers(std::size_t count, Take take) {
        for (bool has_ended = false; !has_ended;) {
            while (!has_ended && PQisBusy(first()) == 0) {
                const Answer result{PQgetResult(first())};
                if (!result) continue; // between two
                has_ended = PQresultStatus(result.get()) == PGRES_PIPELINE_SYNC;
                if (has_ended) break;
                expect(PQntuples(result.get()) == 1);
                take(result.get());
                --count;
            }
            if (!has_ended) {
                flush(0);
                expect(::poll(polled_.data(), 1, -1) > 0);
                expect(PQconsumeInput(first()) == 1);
            }
        }
        expect(count == 0);
    }

  private:
    struct Finish {
        void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
    };
    static constexpr const char* name = "lookup";
    static constexpr int binary = 1;

    PGconn* first() const { return connections_.front().get(); }
    void send(std::size_t connection, const std::string& value) {
        const std::array<const char*, 1> values{value.c_str()};
        expect(PQsendQueryPrepared(connections_[connection].get(), name, 1, values.data(), nullptr, nullptr, binary) ==
               1);
    }
    void flush(std::size_t connection) { expect(PQflush(connections_[connection].get()) >= 0); }
    static void expect(bool holds) {
        if (!holds) throw std::runtime_error{"libpq has failed"};
    }

    std::vector<std::unique_ptr<PGconn, Finish>> connections_;
    std::vector<pollfd> polled_;
    std::size_t next_ = 0;
};

} // namespace velostream::bench
