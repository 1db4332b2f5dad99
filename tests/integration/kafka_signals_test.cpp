// SPDX-License-Identifier: Apache-2.0
// Signals of the process are left to the application's threads.
#include <signal.h>
#include <unistd.h>

#include "kafka_producer_fixture.hpp"

namespace velostream::kafka {
namespace {

// Leaves a signal of the process to any other thread that would take it.
class SignalForOthers {
  public:
    SignalForOthers() {
        struct sigaction action{};
        action.sa_handler = [](int) {};
        sigaction(SIGUSR1, &action, &action_before_);
        sigemptyset(&signal_);
        sigaddset(&signal_, SIGUSR1);
        pthread_sigmask(SIG_BLOCK, &signal_, nullptr);
        kill(getpid(), SIGUSR1);
    }
    ~SignalForOthers() {
        static_cast<void>(was_left());
        pthread_sigmask(SIG_UNBLOCK, &signal_, nullptr);
        sigaction(SIGUSR1, &action_before_, nullptr);
    }

    bool was_left() const {
        constexpr timespec at_once{};
        return sigtimedwait(&signal_, nullptr, &at_once) == SIGUSR1;
    }

  private:
    sigset_t signal_{};
    struct sigaction action_before_{};
};

class SignalsTest : public ProducerTest {
  protected:
    // The brokers have answered since: their thread has seen what there was to see.
    void expect_served_and_signal_left() {
        run(io, [&]() -> asio::awaitable<void> {
            Producer producer{io.get_executor(), config()};
            const Record record{"t", "k", "v"};
            const SignalForOthers signal;

            EXPECT_TRUE(co_await producer.send(record));

            EXPECT_TRUE(signal.was_left());
        });
    }
};

TEST_F(SignalsTest, BrokersInThisProcessGoOn) {
    expect_served_and_signal_left();
}

TEST_F(SignalsTest, BrokersThatFailWhenAskedToGoOn) {
    cluster.fail_produce_requests(1e-9, 1, {KafkaErrc{13}});
    expect_served_and_signal_left();
}

} // namespace
} // namespace velostream::kafka
