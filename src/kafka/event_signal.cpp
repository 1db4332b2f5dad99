// SPDX-License-Identifier: Apache-2.0
#include "event_signal.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <boost/system/system_error.hpp>
#include <cerrno>
#include <system_error>

namespace velostream::kafka {

namespace {

asio::posix::stream_descriptor open_eventfd(const asio::any_io_executor& executor) {
    try {
        asio::posix::stream_descriptor descriptor{executor}; // first: its context may need a descriptor of its own
        // A blocking one would stop the library's threads when nobody reads.
        const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (fd < 0) throw std::system_error{errno, std::system_category(), "eventfd"};
        boost::system::error_code refused;
        descriptor.assign(fd, refused);
        if (!refused) return descriptor;
        ::close(fd);
        throw std::system_error{std::error_code{refused}, "eventfd"};
    } catch (const boost::system::system_error& problem) {
        throw std::system_error{std::error_code{problem.code()}, "a descriptor's service"};
    }
}

} // namespace

EventSignal::EventSignal(const asio::any_io_executor& executor) : descriptor_(open_eventfd(executor)) {}

void EventSignal::connect(rd_kafka_queue_t* queue) const noexcept {
    static constexpr std::uint64_t one = 1;
    const auto fd = const_cast<asio::posix::stream_descriptor&>(descriptor_).native_handle();
    rd_kafka_queue_io_event_enable(queue, fd, &one, sizeof one);
    // For what came before, such as the refused connections of an outage: with it in the queue no later event is the
    // first.
    static_cast<void>(!::write(fd, &one, sizeof one));
}

void EventSignal::clear() noexcept {
    std::uint64_t wakes = 0;
    static_cast<void>(!::read(descriptor_.native_handle(), &wakes, sizeof wakes));
}

} // namespace velostream::kafka
