// SPDX-License-Identifier: Apache-2.0
// A million sends at once: what is in flight stays within its bytes, and within its account.
#include "kafka_producer_fixture.hpp"
#include "velostream/core/memory_account.hpp"

namespace velostream::kafka {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t many = 100'000;
#else
constexpr std::size_t many = 1'000'000;
#endif

using ManySendsTest = ProducerTest;

TEST_F(ManySendsTest, AreBoundedByTheirBytesAndAllWritten) {
    constexpr Bytes bound = 4 * mebibyte;
    cluster.create_topic("t", 8).value();
    auto settings = config(110s);
    settings.max_in_flight = many;
    settings.max_in_flight_bytes = bound;
    const MemoryAccount account{"sends", bound + 16 * 1024}; // it is charged in blocks of 8 KiB
    run(
        io,
        [&]() -> asio::awaitable<void> {
            Producer producer{io.get_executor(), settings, account};
            const Record record{"t", std::nullopt, std::string(100, 'x')};
            std::size_t written = 0, failed = 0;
            Bytes most = 0;
            for (std::size_t i = 0; i < many; ++i)
                producer.async_send(record, [&](const Result<Delivery>& sent) {
                    ++(sent ? written : failed);
                    if (written % 1000 == 0) most = std::max(most, producer.get_stats().in_flight_bytes);
                });
            EXPECT_GT(producer.get_stats().waiting, many / 2) << "there are more than have room";

            EXPECT_TRUE(co_await eventually([&] { return written + failed == many; }, 100s));

            EXPECT_EQ(failed, 0U);
            EXPECT_GT(most, bound / 2);
            EXPECT_LE(most, bound);
            EXPECT_EQ(account.refusals(), 0U) << "the account's room was enough";
            co_await producer.close(5s);
            EXPECT_EQ(account.used(), 0U);
        },
        110s);
}

} // namespace
} // namespace velostream::kafka
