// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/errc.hpp>
#include <memory>
#include <utility>

#include "velostream/async/call_context.hpp"
#include "velostream/base/result.hpp"
#include "velostream/connection_factory.hpp"

namespace velostream::testing {

// A server that several threads connect to, and that counts: what exists, from the beginning of the connect to the end
// of the connection, and who has a connection that another has. Every so many calls fail. Copies are handles of one.
class CountedConnections {
    struct Server;
    struct Existing;

  public:
    class Connection {
      public:
        explicit Connection(std::unique_ptr<Existing> existing) : existing_(std::move(existing)) {}

        // As long as somebody has this nobody else may have one.
        class Use {
          public:
            explicit Use(Existing& existing) : existing_(&existing) { existing_->enter(); }
            Use(Use&& other) noexcept : existing_(std::exchange(other.existing_, nullptr)) {}
            Use& operator=(Use&&) = delete;
            ~Use() { end(); }
            void end() {
                if (existing_) --std::exchange(existing_, nullptr)->users;
            }

          private:
            Existing* existing_; // null once it has ended
        };
        Use use() const { return Use{*existing_}; }
        // Before it is detached: it is no pool's any more.
        void count_no_more() const {
            existing_->counts = false;
            --existing_->server->existing;
        }

      private:
        friend CountedConnections;
        std::unique_ptr<Existing> existing_;
    };

    // 0: none fails.
    void fail_every(int opens, int checks, int resets) {
        server_->opens.every = opens;
        server_->checks.every = checks;
        server_->resets.every = resets;
    }
    // Each operation goes through its executor so often before it ends.
    void take(int hops) { server_->hops = hops; }

    int existing() const { return server_->existing; }
    int most() const { return server_->most; }
    bool was_shared() const { return server_->was_shared; }
    int opens() const { return server_->opens.count; }

    asio::awaitable<Result<Connection>> open(CallContext&) {
        const auto server = server_;
        auto existing = std::make_unique<Existing>(server);
        const bool fails = server->opens.fails();
        auto hops = hop(server);
        co_await std::move(hops);
        if (fails) co_return refused();
        co_return Connection{std::move(existing)};
    }
    asio::awaitable<Result<void>> check(Connection& connection, CallContext&) {
        return work_on(connection, server_, server_->checks.fails());
    }
    asio::awaitable<Result<void>> reset(Connection& connection, CallContext&) {
        return work_on(connection, server_, server_->resets.fails());
    }
    asio::awaitable<void> close(Connection& connection, CallContext&) {
        auto work = work_on(connection, server_, false);
        static_cast<void>(co_await std::move(work));
    }

  private:
    struct Calls {
        bool fails() {
            const auto number = ++count;
            const int each = every;
            return each != 0 && number % each == 0;
        }
        std::atomic<int> count{0}, every{0};
    };
    struct Server {
        std::atomic<int> existing{0}, most{0}, hops{1};
        std::atomic<bool> was_shared{false};
        Calls opens, checks, resets;
    };
    struct Existing {
        explicit Existing(std::shared_ptr<Server> on) : server(std::move(on)) {
            const int now = ++server->existing;
            int most = server->most;
            while (most < now && !server->most.compare_exchange_weak(most, now)) {
            }
        }
        Existing(const Existing&) = delete;
        Existing& operator=(const Existing&) = delete;
        ~Existing() {
            if (counts) --server->existing;
        }
        void enter() {
            if (users++ != 0) server->was_shared = true;
        }

        const std::shared_ptr<Server> server;
        std::atomic<int> users{0};
        bool counts = true;
    };

    static Error refused() { return boost::system::errc::make_error_code(boost::system::errc::connection_refused); }
    static asio::awaitable<void> hop(std::shared_ptr<Server> server) {
        for (int left = server->hops; left > 0; --left) {
            auto one = asio::post(asio::deferred);
            co_await std::move(one);
        }
    }
    static asio::awaitable<Result<void>> work_on(Connection& connection, std::shared_ptr<Server> server, bool fails) {
        const auto in_use = connection.use();
        auto hops = hop(server);
        co_await std::move(hops);
        if (fails) co_return refused();
        co_return Result<void>{};
    }

    std::shared_ptr<Server> server_ = std::make_shared<Server>();
};

static_assert(ConnectionFactory<CountedConnections>);

} // namespace velostream::testing
