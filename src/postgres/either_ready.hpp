// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <utility>

namespace velostream::postgres {

namespace detail {

// Two waits, of which the first that ends cancels the other; the second that ends completes.
template <class Handler>
class EitherWait : public std::enable_shared_from_this<EitherWait<Handler>> {
  public:
    EitherWait(boost::asio::posix::stream_descriptor& socket, Handler handler)
        : socket_(socket), handler_(std::move(handler)) {}

    void start() {
        using Descriptor = boost::asio::posix::descriptor_base;
        const auto executor = boost::asio::get_associated_executor(handler_, socket_.get_executor());
        auto slot = boost::asio::get_associated_cancellation_slot(handler_);
        if (slot.is_connected())
            slot.assign([weak = this->weak_from_this()](boost::asio::cancellation_type) {
                if (const auto self = weak.lock()) self->cancel();
            });
        for (const auto kind : {Descriptor::wait_read, Descriptor::wait_write})
            socket_.async_wait(kind, boost::asio::bind_executor(
                                         executor, [self = this->shared_from_this()](
                                                       const boost::system::error_code& code) { self->end(code); }));
    }

  private:
    void cancel() {
        boost::system::error_code ignored;
        socket_.cancel(ignored);
    }

    void end(const boost::system::error_code& code) {
        if (!std::exchange(has_ended_, true)) {
            code_ = code;
            return cancel();
        }
        auto slot = boost::asio::get_associated_cancellation_slot(handler_);
        if (slot.is_connected()) slot.clear();
        std::move(handler_)(code_);
    }

    boost::asio::posix::stream_descriptor& socket_;
    Handler handler_;
    boost::system::error_code code_; // of the first
    bool has_ended_ = false;
};

} // namespace detail

/// Waits until `socket` can be read from or written to. On a serial executor only, where nothing else waits for it.
///
/// Completes with: `error_code`.
/// Cancellation:   all kinds; completes with `operation_aborted`.
template <class Token>
auto async_wait_either(boost::asio::posix::stream_descriptor& socket, Token token) {
    return boost::asio::async_initiate<Token, void(boost::system::error_code)>(
        [](auto handler, boost::asio::posix::stream_descriptor* on) {
            using Wait = detail::EitherWait<decltype(handler)>;
            std::make_shared<Wait>(*on, std::move(handler))->start();
        },
        token, &socket);
}

} // namespace velostream::postgres
