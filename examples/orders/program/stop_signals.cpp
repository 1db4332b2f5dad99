// SPDX-License-Identifier: Apache-2.0
#include "program/stop_signals.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <system_error>

namespace orders {

namespace {

std::atomic<int> first_signal = 0; // 0: none yet
std::atomic<int> end_to_write = -1;
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may use nothing else");

extern "C" void on_stop_signal(int number) {
    int none = 0;
    if (!first_signal.compare_exchange_strong(none, number)) std::_Exit(EXIT_FAILURE); // the user insists
    const int error = errno;
    static_cast<void>(!::write(end_to_write, "", 1));
    errno = error;
}

void on_stop_signals(void (*handler)(int)) {
    struct sigaction action{};
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    for (const int number : {SIGINT, SIGTERM}) ::sigaction(number, &action, nullptr);
}

} // namespace

StopSignals::StopSignals() {
    if (::pipe2(pipe_, O_CLOEXEC | O_NONBLOCK) != 0) throw std::system_error{errno, std::generic_category(), "pipe"};
    first_signal = 0;
    end_to_write = pipe_[1];
    on_stop_signals(on_stop_signal);
}

StopSignals::~StopSignals() {
    on_stop_signals(SIG_DFL);
    ::close(pipe_[0]);
    ::close(pipe_[1]);
}

bool StopSignals::requested() const {
    return first_signal != 0;
}

const char* StopSignals::what() const {
    return first_signal == SIGINT ? "interrupted" : "asked to stop";
}

} // namespace orders
