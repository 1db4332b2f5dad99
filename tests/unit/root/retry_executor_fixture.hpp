// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "support/run_coroutine.hpp"
#include "velostream/retry_executor.hpp"
#include "velostream/testing/recording_observer.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream {

inline const Error network = Errc::connect_failed;
inline const Error bad_request = boost::system::errc::make_error_code(boost::system::errc::invalid_argument);

class RetryExecutorTest : public ::testing::Test {
  protected:
    using Retry = RetryExecutor<testing::ManualTime>;

    Retry with(const RetryConfig& config, std::optional<std::uint64_t> seed = std::nullopt) {
        return Retry{config, observer, time, seed};
    }
    Retry with(const RetryConfig& config, RetryOptions options) {
        return Retry{config, std::move(options), observer, time};
    }
    // When the operation was called, from the start of the test.
    std::vector<Duration> calls() const {
        std::vector<Duration> since;
        for (const auto at : operation.started_at()) since.push_back(at - start);
        return since;
    }
    Result<int> execute(Retry& retry, CallOptions options = {}) {
        return run(io, time, retry.execute_with_retry(operation, options));
    }

    // For a test that starts calls and leaves them waiting: executors outlive their calls.
    void let_calls_end() {
        time.run_for(io, std::chrono::hours{1});
        ASSERT_EQ(time.sleepers(), 0u);
    }

    asio::io_context io;
    testing::ManualTime time;
    const TimePoint start = time.now();
    std::shared_ptr<testing::RecordingObserver> observer = std::make_shared<testing::RecordingObserver>();
    testing::ScriptedOperation<int> operation{time};
};

} // namespace velostream
