// SPDX-License-Identifier: Apache-2.0
#include "brokers/password_refuser.hpp"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace velostream::bench {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr std::int16_t produce = 0, metadata = 3, sasl_handshake = 17, api_versions = 18, sasl_authenticate = 36;
constexpr std::int16_t unsupported_version = 35, sasl_authentication_failed = 58;

// Big-endian, as Kafka has it.
template <class Integer>
Integer number_at(std::string_view bytes, std::size_t at) noexcept {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < sizeof(Integer); ++i) value = value << 8U | static_cast<unsigned char>(bytes[at + i]);
    return static_cast<Integer>(value);
}
template <class Integer>
void append(std::string& bytes, Integer value) {
    for (std::size_t i = sizeof(Integer); i-- > 0;)
        bytes.push_back(static_cast<char>(static_cast<std::uint32_t>(value) >> (8U * i) & 0xffU));
}
void append_text(std::string& bytes, std::string_view text) {
    append(bytes, static_cast<std::int16_t>(text.size()));
    bytes.append(text);
}
void append_range(std::string& bytes, std::int16_t api, std::int16_t highest) {
    append(bytes, api);
    append(bytes, std::int16_t{0});
    append(bytes, highest);
}

// What comes behind the correlation id; nothing for a request that no client makes before it is let in.
std::string answer_to(std::int16_t api, std::int16_t version) {
    std::string answer;
    if (api == api_versions && version > 0) { // in the words of version 0, whatever was asked
        append(answer, unsupported_version);
        append(answer, std::int32_t{1});
        append_range(answer, api_versions, 0);
    } else if (api == api_versions) {
        append(answer, std::int16_t{0});
        append(answer, std::int32_t{5});
        append_range(answer, produce, 7);
        append_range(answer, metadata, 2);
        append_range(answer, sasl_handshake, 1);
        append_range(answer, api_versions, 0);
        append_range(answer, sasl_authenticate, 0);
    } else if (api == sasl_handshake) {
        append(answer, std::int16_t{0});
        append(answer, std::int32_t{1});
        append_text(answer, "PLAIN");
    } else if (api == sasl_authenticate) {
        append(answer, sasl_authentication_failed);
        append_text(answer, "Authentication failed: Invalid username or password");
        append(answer, std::int32_t{0});
    }
    return answer;
}

// Until the client goes, or asks for something else.
asio::awaitable<void> serve(tcp::socket client) {
    constexpr std::size_t head = 8, most = 65'536;
    std::string request;
    for (;;) {
        std::array<char, 4> size{};
        co_await asio::async_read(client, asio::buffer(size), asio::use_awaitable);
        const auto length = number_at<std::uint32_t>({size.data(), size.size()}, 0);
        if (length < head || length > most) co_return;
        request.resize(length);
        co_await asio::async_read(client, asio::buffer(request), asio::use_awaitable);
        const auto body = answer_to(number_at<std::int16_t>(request, 0), number_at<std::int16_t>(request, 2));
        if (body.empty()) co_return;
        std::string answer;
        append(answer, static_cast<std::uint32_t>(4 + body.size()));
        answer.append(request, 4, 4).append(body); // the correlation id
        co_await asio::async_write(client, asio::buffer(answer), asio::use_awaitable);
    }
}

} // namespace

PasswordRefuser::PasswordRefuser() : acceptor_(io_, tcp::endpoint{asio::ip::address_v4::loopback(), 0}) {
    asio::co_spawn(io_, accept(), asio::detached);
    thread_ = std::jthread{[this] { io_.run(); }};
}

PasswordRefuser::~PasswordRefuser() {
    io_.stop();
}

std::string PasswordRefuser::address() const {
    return "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
}

asio::awaitable<void> PasswordRefuser::accept() {
    for (;;) {
        auto client = co_await acceptor_.async_accept(asio::use_awaitable);
        // One that goes is no news.
        asio::co_spawn(io_, serve(std::move(client)), [](const std::exception_ptr&) {});
    }
}

} // namespace velostream::bench
