// SPDX-License-Identifier: Apache-2.0
//
// What a signal asks of the client library and of the operating system, seen from below: these calls of this program
// come here first.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <functional>
#include <utility>

#include "event_signal_fixture.hpp"

namespace {

thread_local std::function<void()> before_connecting;
thread_local int closed_without_being_open = 0;

} // namespace

extern "C" {

__attribute__((visibility("default"))) void rd_kafka_queue_io_event_enable(rd_kafka_queue_t* queue, int descriptor,
                                                                           const void* payload, size_t size) {
    if (const auto interruption = std::exchange(before_connecting, nullptr)) interruption();
    reinterpret_cast<decltype(&rd_kafka_queue_io_event_enable)>(::dlsym(RTLD_NEXT, "rd_kafka_queue_io_event_enable"))(
        queue, descriptor, payload, size);
}

__attribute__((visibility("default"))) int close(int descriptor) {
    const auto result = static_cast<int>(::syscall(SYS_close, descriptor));
    if (result != 0) ++closed_without_being_open;
    return result;
}

} // extern "C"

namespace velostream::kafka {
namespace {

class EventSignalCallsTest : public EventSignalTest {};

TEST_F(EventSignalCallsTest, AnEventThatComesWhileItsQueueIsBeingConnectedWakes) {
    const auto handle = listening_handle();
    handle->on_wake = [] {};
    Client client;
    before_connecting = [&] {
        poll();
        client.make_event();
    };

    const EventSignal::Connection connection{*handle->signal, client.events};
    poll();

    EXPECT_EQ(handle->wakes, 1);
}

// The number may belong to somebody else by then.
TEST_F(EventSignalCallsTest, ItsDescriptorIsClosedOnce) {
    closed_without_being_open = 0;

    listening_handle().reset();
    {
        asio::io_context own{1};
        listening_handle(own.get_executor());
    }
    auto own = std::make_unique<asio::io_context>(1);
    auto handle = listening_handle(own->get_executor());
    own.reset();
    handle.reset();

    EXPECT_EQ(closed_without_being_open, 0);
}

} // namespace
} // namespace velostream::kafka
