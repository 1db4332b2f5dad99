// SPDX-License-Identifier: Apache-2.0
// Where the process has no file descriptor left. Not under a sanitizer: its checks of types need some.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <system_error>

#include "kafka/event_signal.hpp"
#include "velostream/kafka/consumer.hpp"
#include "velostream/kafka/producer.hpp"

namespace velostream::kafka {
namespace {

/// While it lives, this process can open no file.
class NoMoreDescriptors {
  public:
    NoMoreDescriptors() {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        const rlimit none{.rlim_cur = 0, .rlim_max = before_.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &none);
    }
    ~NoMoreDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

  private:
    rlimit before_{};
};

const ProducerConfig producer_config{.bootstrap_servers = "127.0.0.1:1"};
const ConsumerConfig consumer_config{.bootstrap_servers = "127.0.0.1:1", .group_id = "g", .topics = {"t"}};

TEST(NoDescriptors, AProducerAndAConsumerThrowASystemError) {
    asio::io_context io;
    const NoMoreDescriptors from_now_on;

    EXPECT_THROW((Producer{io.get_executor(), producer_config}), std::system_error);
    EXPECT_THROW((Consumer{io.get_executor(), consumer_config}), std::system_error);
}

TEST(NoDescriptors, ASignalOfAContextThatHasSomeSaysWhatIsMissingAndMayBeMadeLater) {
    struct Nobody final : EventSignal::Owner {
        void on_events() override {}
    } nobody;
    asio::io_context io;
    const asio::posix::stream_descriptor context_has_its_own{io};
    const auto code = [&]() -> std::error_code {
        try {
            const EventSignal signal{io.get_executor(), nobody};
        } catch (const std::system_error& problem) {
            return problem.code();
        }
        return {};
    };
    {
        const NoMoreDescriptors from_now_on;
        EXPECT_EQ(code(), std::errc::too_many_files_open);
    }
    EXPECT_FALSE(code());
}

} // namespace
} // namespace velostream::kafka
#endif
