// SPDX-License-Identifier: Apache-2.0
// Where the process has no file descriptor left. Not under a sanitizer: its checks of types need some.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <boost/asio/io_context.hpp>
#include <system_error>

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

} // namespace
} // namespace velostream::kafka
#endif
