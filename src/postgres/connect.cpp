// SPDX-License-Identifier: Apache-2.0
#include "connect.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "bounded.hpp"
#include "server_error.hpp"

namespace velostream::postgres {

namespace {

struct FreeAddresses {
    void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};

// Blocks for as long as the name servers please.
Result<std::vector<std::string>> addresses_of(const std::string& name) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int problem = ::getaddrinfo(name.c_str(), nullptr, &hints, &found);
    if (problem != 0) return Error{make_error_code(PostgresErrc::server_unreachable), ::gai_strerror(problem)};
    const std::unique_ptr<addrinfo, FreeAddresses> owned{found};
    std::vector<std::string> addresses;
    for (const auto* each = found; each; each = each->ai_next) {
        std::array<char, NI_MAXHOST> text{};
        if (::getnameinfo(each->ai_addr, each->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) == 0)
            addresses.emplace_back(text.data());
    }
    return addresses;
}

// Several addresses of one name become several hosts: libpq takes names and addresses in pairs.
asio::awaitable<Result<std::vector<Host>>> looked_up(OwnFrame, Host host) {
    if (host.is_socket() || !host.address.empty()) co_return std::vector{host};
    const auto lookup = Aside<std::vector<std::string>>::ask([name = host.name] { return addresses_of(name); });
    auto answer = Aside<std::vector<std::string>>::answer(own_frame, lookup);
    const auto found = co_await std::move(answer);
    if (!found) co_return found.error();
    std::vector<Host> hosts;
    for (const auto& address : *found) hosts.push_back({host.name, address, host.port});
    co_return hosts;
}

LibpqConnection start(const ConnectOptions& to, const Host& host, const std::string& wanted_session) {
    std::vector<const char*> names;
    std::vector<const char*> values;
    const auto add = [&](const char* name, const std::string& value) {
        if (value.empty()) return;
        names.push_back(name);
        values.push_back(value.c_str());
    };
    for (const auto& [name, value] : to.options)
        if (name != "target_session_attrs") add(name.c_str(), value);
    add("host", host.name);
    add("hostaddr", host.address);
    add("port", host.port);
    add("target_session_attrs", wanted_session);
    names.push_back(nullptr);
    values.push_back(nullptr);
    LibpqConnection connection{PQconnectStartParams(names.data(), values.data(), 0)};
    if (!connection) throw std::bad_alloc{};
    // So that an error has its SQLSTATE, for which libpq has no function before there is a session.
    PQsetErrorVerbosity(connection.get(), PQERRORS_VERBOSE);
    PQsetNoticeReceiver(connection.get(), [](void*, const PGresult*) {}, nullptr);
    return connection;
}

std::string option(const ConnectOptions& of, const std::string& name) {
    const auto found = of.options.find(name);
    return found == of.options.end() ? std::string{} : found->second;
}

asio::awaitable<Result<LibpqConnection>> connect_to(OwnFrame, const ConnectOptions& to, const Host& host,
                                                    const std::string& wanted_session, asio::any_io_executor executor) {
    using Descriptor = asio::posix::descriptor_base;
    auto connection = start(to, host, wanted_session);
    bool was_in_tls = false;
    auto next = PQstatus(connection.get()) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    while (next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING) {
        was_in_tls = PQstatus(connection.get()) == CONNECTION_SSL_STARTUP;
        auto socket = watched_socket(executor, connection.get()); // it may be another one each time
        const auto kind = next == PGRES_POLLING_READING ? Descriptor::wait_read : Descriptor::wait_write;
        auto ready = socket.async_wait(kind, asio::deferred);
        co_await std::move(ready);
        next = PQconnectPoll(connection.get());
    }
    if (next != PGRES_POLLING_OK) co_return connect_error(connection.get(), option(to, "password"), was_in_tls);
    co_return std::move(connection);
}

std::string shown(const Host& host) {
    auto text = host.name.empty() ? host.address : host.name;
    if (text.empty()) text = "the local socket";
    if (!host.address.empty() && host.address != text) text.append(" (").append(host.address).append(")");
    if (!host.port.empty()) text.append(" port ").append(host.port);
    return text;
}

// Who was not accepted here would not be elsewhere, and may be locked out for trying.
bool may_try_next(const Error& error) noexcept {
    switch (error.type()) {
        case ErrorType::network:
        case ErrorType::timeout:
        case ErrorType::service_unavailable:
        case ErrorType::resource_exhausted:
            return true;
        default:
            return false;
    }
}

TimePoint end_of_try(const ConnectOptions& to, TimePoint deadline, std::size_t left) {
    const auto now = SteadyTime{}.now();
    auto end = deadline;
    if (to.connect_timeout)
        end = std::min(end, saturating_add(now, *to.connect_timeout));
    else if (deadline != TimePoint::max() && left > 1)
        end = now + (deadline - now) / static_cast<std::int64_t>(left);
    return end;
}

// What became of each, and the last one's code.
class Failures {
  public:
    void add(const Host& host, Error error) {
        if (!texts_.empty()) texts_.append("; ");
        texts_.append(shown(host)).append(": ").append(error.detail().empty() ? error.message() : error.detail());
        last_ = std::move(error);
    }
    Error all() const { return last_.with_detail(texts_); }

  private:
    std::string texts_;
    Error last_ = PostgresErrc::server_unreachable;
};

} // namespace

asio::awaitable<Result<LibpqConnection>> connect(OwnFrame, std::shared_ptr<const ConnectOptions> to, TimePoint deadline,
                                                 asio::any_io_executor executor) {
    std::vector<Host> hosts;
    Failures failures;
    for (const auto& host : to->hosts) {
        auto look_up = [&host] { return looked_up(own_frame, host); };
        auto looking = bounded<std::vector<Host>>(own_frame, deadline, look_up);
        auto found = co_await std::move(looking);
        if (found)
            hosts.insert(hosts.end(), found->begin(), found->end());
        else
            failures.add(host, found.error());
        if (!found && found.error() == Errc::cancelled) co_return found.error();
    }

    // As libpq does it: first whoever is a standby, then anybody.
    const auto wanted = option(*to, "target_session_attrs");
    std::vector<std::string> rounds{wanted};
    if (wanted == "prefer-standby") rounds = {"standby", "any"};
    auto left = rounds.size() * hosts.size();
    for (const auto& session : rounds)
        for (const auto& host : hosts) {
            auto attempt = [&] { return connect_to(own_frame, *to, host, session, executor); };
            auto trying = bounded<LibpqConnection>(own_frame, end_of_try(*to, deadline, left--), attempt);
            auto connected = co_await std::move(trying);
            if (connected || connected.error() == Errc::cancelled) co_return std::move(connected);
            failures.add(host, connected.error());
            if (!may_try_next(connected.error()) || SteadyTime{}.now() >= deadline) co_return failures.all();
        }
    co_return failures.all();
}

} // namespace velostream::postgres
