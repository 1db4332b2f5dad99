// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <cstdint>
#include <future>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace velostream {

/// Stands before a TCP server on loopback and passes on what both sides say, or does what networks do. It has a thread
/// of its own, so that it works whatever a test's own threads do.
///
/// Threads: safe; each call returns when it has taken effect.
class FaultProxy {
  public:
    explicit FaultProxy(std::uint16_t target) : target_(boost::asio::ip::address_v4::loopback(), target) {
        open();
        port_ = acceptor_->local_endpoint().port();
        thread_ = std::thread{[this] { io_.run(); }};
    }
    FaultProxy(const FaultProxy&) = delete;
    FaultProxy& operator=(const FaultProxy&) = delete;
    ~FaultProxy() {
        io_.stop();
        thread_.join();
    }

    std::string port() const { return std::to_string(port_); }

    /// Whatever is said waits so long first.
    void delay(std::chrono::milliseconds by) {
        on_thread([this, by] { delay_ = by; });
    }
    /// From now on nothing arrives anywhere, and nobody hears of it. What has vanished never comes.
    void begin_black_hole() {
        on_thread([this] { is_black_hole_ = true; });
    }
    /// For connections that are made from now on.
    void end_black_hole() {
        on_thread([this] { is_black_hole_ = false; });
    }
    /// Every connection ends as when its program has closed it.
    void drop_all() {
        on_thread([this] { end_all(false); });
    }
    /// Every connection ends with RST.
    void reset_all() {
        on_thread([this] { end_all(true); });
    }
    /// Whoever connects is refused.
    void refuse() {
        on_thread([this] { acceptor_.reset(); });
    }
    void accept_again() {
        on_thread([this] { open(); });
    }
    /// How many connections there have been.
    int accepted() const noexcept { return accepted_; }

  private:
    using Tcp = boost::asio::ip::tcp;

    struct Link : std::enable_shared_from_this<Link> {
        explicit Link(boost::asio::io_context& io) : client(io), server(io) {}
        void end(bool by_reset) {
            for (auto* socket : {&client, &server}) {
                boost::system::error_code ignored;
                if (by_reset) socket->set_option(boost::asio::socket_base::linger{true, 0}, ignored);
                socket->close(ignored);
            }
        }

        Tcp::socket client, server;
        bool is_lost = false; // it has been in a black hole
    };
    struct Pump : std::enable_shared_from_this<Pump> {
        Pump(FaultProxy& of, std::shared_ptr<Link> in, Tcp::socket& source, Tcp::socket& sink)
            : proxy(of), link(std::move(in)), from(source), to(sink), timer(of.io_) {}
        void read() {
            from.async_read_some(boost::asio::buffer(bytes),
                                 [self = shared_from_this()](const boost::system::error_code& code, std::size_t size) {
                                     self->on_read(code, size);
                                 });
        }
        void on_read(const boost::system::error_code& code, std::size_t size) {
            if (proxy.is_black_hole_) link->is_lost = true;
            if (link->is_lost) {
                if (!code) read(); // and forget it
                return;
            }
            if (code) return link->end(false);
            timer.expires_after(proxy.delay_);
            timer.async_wait(
                [self = shared_from_this(), size](const boost::system::error_code&) { self->write(size); });
        }
        void write(std::size_t size) {
            boost::asio::async_write(to, boost::asio::buffer(bytes.data(), size),
                                     [self = shared_from_this()](const boost::system::error_code& code, std::size_t) {
                                         if (code) return self->link->end(false);
                                         self->read();
                                     });
        }

        FaultProxy& proxy;
        std::shared_ptr<Link> link;
        Tcp::socket& from;
        Tcp::socket& to;
        boost::asio::steady_timer timer;
        std::vector<char> bytes = std::vector<char>(65'536);
    };

    template <class Work>
    void on_thread(Work work) {
        std::promise<void> done;
        boost::asio::post(io_, [&] {
            work();
            done.set_value();
        });
        done.get_future().wait();
    }

    void open() {
        acceptor_.emplace(io_);
        acceptor_->open(Tcp::v4());
        acceptor_->set_option(boost::asio::socket_base::reuse_address{true});
        acceptor_->bind({boost::asio::ip::address_v4::loopback(), port_});
        acceptor_->listen();
        accept();
    }

    void accept() {
        auto link = std::make_shared<Link>(io_);
        acceptor_->async_accept(link->client, [this, link](const boost::system::error_code& code) {
            if (code) return;
            ++accepted_;
            connect(link);
            accept();
        });
    }

    void connect(const std::shared_ptr<Link>& link) {
        links_.push_back(link);
        link->is_lost = is_black_hole_;
        link->server.async_connect(target_, [this, link](const boost::system::error_code& code) {
            if (code) return link->end(false);
            std::make_shared<Pump>(*this, link, link->client, link->server)->read();
            std::make_shared<Pump>(*this, link, link->server, link->client)->read();
        });
    }

    void end_all(bool by_reset) {
        for (const auto& weak : std::exchange(links_, {}))
            if (const auto link = weak.lock()) link->end(by_reset);
    }

    boost::asio::io_context io_{1};
    const boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
    const boost::asio::ip::tcp::endpoint target_;
    std::uint16_t port_ = 0;
    std::optional<Tcp::acceptor> acceptor_;
    std::list<std::weak_ptr<Link>> links_;
    std::chrono::milliseconds delay_{0};
    bool is_black_hole_ = false;
    std::atomic<int> accepted_ = 0;
    std::thread thread_;
};

} // namespace velostream
