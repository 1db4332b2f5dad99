// SPDX-License-Identifier: Apache-2.0
// What a send that came too late says of whether it was written, where no broker was ever reached.
#include <memory>

#include "kafka_producer_fixture.hpp"

namespace velostream::kafka {
namespace {

struct Ends {
    int certain = 0; // not written, since no broker could be reached
    int unknown = 0; // perhaps written, with that as the cause
    int others = 0;
};

class CertaintyTest : public testing::Test {
  protected:
    /// Sends through ten clients, which look for records that are too late at ten different moments of a second.
    Ends ends_of_sends(Duration delivery_timeout) {
        Ends ends;
        run(io, [&]() -> asio::awaitable<void> {
            std::vector<std::unique_ptr<Producer>> producers;
            for (int i = 0; i < 10; ++i) {
                producers.push_back(std::make_unique<Producer>(
                    io.get_executor(),
                    ProducerConfig{.bootstrap_servers = "127.0.0.1:1", .delivery_timeout = delivery_timeout}));
                co_await pause_for(100ms);
            }
            const Record record{"t", "k", "v"};
            int ended = 0;
            for (const auto& producer : producers)
                producer->async_send(record, [&](const Result<Delivery>& sent) {
                    ++ended;
                    const auto error = sent.error();
                    const auto* const inner = error.inner();
                    if (error == Errc::broker_unreachable)
                        ++ends.certain;
                    else if (error == Errc::send_outcome_unknown && inner && *inner == Errc::broker_unreachable)
                        ++ends.unknown;
                    else
                        ++ends.others;
                });
            EXPECT_TRUE(co_await eventually([&] { return ended == 10; }));
        });
        return ends;
    }

    asio::io_context io{1};
};

// From 4.8 s on. On a machine that is busy with other things the client's own report may be late nevertheless.
TEST_F(CertaintyTest, ALongTimeoutLeavesTheClientTimeToSayThatNothingWasWritten) {
    const auto ends = ends_of_sends(6s);

    EXPECT_GE(ends.certain, 6);
    EXPECT_EQ(ends.others, 0) << "the cause is told in any case";
}

TEST_F(CertaintyTest, AShortTimeoutEndsWhileTheClientStillHasTheRecordAndMayBeUnknownButForItsCause) {
    const auto ends = ends_of_sends(100ms);

    EXPECT_EQ(ends.certain + ends.unknown, 10) << "the cause is told in any case";
}

} // namespace
} // namespace velostream::kafka
