// SPDX-License-Identifier: Apache-2.0
// Producers that end before their sends, and handlers that throw.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <thread>

#include "kafka_producer_fixture.hpp"
#include "support/no_more_threads.hpp"

namespace velostream::kafka {
namespace {

using ProducerLifeTest = ProducerTest;

TEST_F(ProducerLifeTest, WhileNothingIsInProgressItDoesNotKeepTheContextRunning) {
    Producer producer{io.get_executor(), config()};
    const Record record{"t", "k", "v"};
    asio::co_spawn(
        io, [](Producer& to, const Record& what) -> asio::awaitable<void> { co_await to.send(what); }(producer, record),
        asio::detached);
    const auto begin = now();

    io.run();

    EXPECT_LT(now() - begin, 10s);
    EXPECT_EQ(producer.get_stats().sent, 1U);
}

TEST_F(ProducerLifeTest, ItMayEndWhereNoThreadCanBeStarted) {
    std::optional<Producer> producer;
    producer.emplace(io.get_executor(), config());
    const NoMoreThreads from_now_on;

    producer.reset();

    EXPECT_FALSE(producer);
}

// The descriptors that are opened next get the numbers of those that were just closed.
class WatchedDescriptors {
  public:
    WatchedDescriptors() {
        for (auto& watched : descriptors_) watched = {::eventfd(0, EFD_CLOEXEC), POLLIN, 0};
    }
    WatchedDescriptors(const WatchedDescriptors&) = delete;
    WatchedDescriptors& operator=(const WatchedDescriptors&) = delete;
    ~WatchedDescriptors() {
        for (const auto& watched : descriptors_) ::close(watched.fd);
    }
    bool are_written_to_within(std::chrono::milliseconds time) {
        return ::poll(descriptors_.data(), descriptors_.size(), static_cast<int>(time.count())) != 0;
    }

  private:
    std::array<pollfd, 16> descriptors_{};
};

TEST_F(ProducerLifeTest, TheClientWritesToNoDescriptorThatIsNotItsOwn) {
    const Record record{"t", "k", "v"};
    for (const bool context_ends : {true, false}) {
        auto own = std::make_unique<asio::io_context>(1);
        auto producer = std::make_unique<Producer>(own->get_executor(), config());
        run(*own, [&]() -> asio::awaitable<void> { EXPECT_TRUE(co_await producer->send(record)); });
        bool was_looked_at = false;
        const auto look = [&] {
            was_looked_at = true;
            EXPECT_FALSE(WatchedDescriptors{}.are_written_to_within(300ms)) << context_ends;
        };
        cluster.set_round_trip_time(50ms);
        if (context_ends) {
            const auto look_on_its_way_out = [&](void*) { look(); };
            producer->async_send(
                record, [last = std::shared_ptr<void>{nullptr, look_on_its_way_out}](const Result<Delivery>&) {});
            own.reset();
        } else {
            producer->async_send(record, [&](const Result<Delivery>&) {
                producer->async_send(record, asio::detached); // still in flight when the producer ends
                own->poll();
                producer.reset();
                look();
            });
            own->restart();
            own->run();
        }
        cluster.set_round_trip_time(0ms);
        EXPECT_TRUE(was_looked_at);
    }
}

// AddressSanitizer sees who keeps a strand of a context that is gone.
TEST_F(ProducerLifeTest, AContextMayEndAfterItsProducerWasClosed) {
    auto own = std::make_unique<asio::io_context>(1);
    Producer producer{asio::make_strand(*own), config()};
    asio::co_spawn(producer.get_executor(), producer.close(), asio::detached);
    own->run();

    own.reset();

    EXPECT_EQ(producer.get_stats().in_flight, 0U);
}

// AddressSanitizer sees what has ended before it. Nothing of this library may be older than the statics: no fixture.
TEST(StaticProducerTest, MayBeOlderThanAllOfTheLibrary) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto run_and_exit = [] {
        static std::unique_ptr<asio::io_context> context;
        static std::unique_ptr<Producer> older_than_what_it_holds;
        const ProducerConfig config{.bootstrap_servers = "127.0.0.1:1"};
        context = std::make_unique<asio::io_context>();
        older_than_what_it_holds = std::make_unique<Producer>(context->get_executor(), config);
        static const Producer lasting{context->get_executor(), config};
        {
            const Producer passing{context->get_executor(), config};
        }
        std::exit(0);
    };
    EXPECT_EXIT(run_and_exit(), ::testing::ExitedWithCode(0), "");
}

TEST_F(ProducerLifeTest, TheContextOfAHandlerHasWorkUntilItWasCalled) {
    Producer producer{io.get_executor(), config()};
    asio::io_context other;
    const Record record{"t", "k", "v"};
    bool was_called = false;
    producer.async_send(record, asio::bind_executor(other, [&](const Result<Delivery>&) { was_called = true; }));
    other.poll();
    EXPECT_FALSE(other.stopped());

    std::jthread runs_own{[&] { io.run(); }};
    other.run();

    EXPECT_TRUE(was_called);
}

TEST_F(ProducerLifeTest, OfTwoClosesTheShorterGraceCounts) {
    cluster.all_brokers_down();
    for (const bool is_first_shorter : {true, false}) {
        Producer producer{io.get_executor(), config()};
        const Record record{"t", "k", "v"};
        producer.async_send(record, asio::detached);
        int closed = 0;
        const auto count = [&](const std::exception_ptr&) { ++closed; };
        asio::co_spawn(io, producer.close(is_first_shorter ? 50ms : 60s), count);
        asio::co_spawn(io, producer.close(is_first_shorter ? 60s : 50ms), count);

        io.restart();
        io.run_for(20s);

        EXPECT_EQ(closed, 2) << is_first_shorter;
    }
}

TEST_F(ProducerLifeTest, ARecordThatIsRefusedAtOnceDoesNotKeepTheContextRunning) {
    Producer producer{io.get_executor(), config()};
    const Record good{"t", "k", "v"}, nowhere{"", "k", "v"}, too_large{"t", "k", std::string(3'000'000, 'v')};
    run(io, [&]() -> asio::awaitable<void> { EXPECT_TRUE(co_await producer.send(good)); });
    for (const auto* refused : {&nowhere, &too_large}) {
        bool has_failed = false;
        producer.async_send(*refused, [&](const Result<Delivery>& result) { has_failed = !result; });

        io.restart();
        io.run_for(20s);

        EXPECT_TRUE(has_failed);
        EXPECT_TRUE(io.stopped());
    }
}

TEST_F(ProducerLifeTest, ADeliveryMayTakeAsLongAsItWants) {
    const auto records = numbered("t", 1);
    for (const Duration timeout : {Duration::max(), Duration{24h * 30}, Duration{4'294'969'296ms}}) {
        Outcomes outcomes;
        io.restart();
        run(io, [&]() -> asio::awaitable<void> {
            Producer producer{io.get_executor(), config(timeout)};
            outcomes.send(producer, records);
            EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));
        });
        EXPECT_EQ(outcomes.failures(), 0U);
    }
}

TEST_F(ProducerLifeTest, ACloseMayWaitForever) {
    cluster.set_round_trip_time(50ms);
    const auto records = numbered("t", 1);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        outcomes.send(producer, records);
        co_await producer.close(Duration::max());
        EXPECT_TRUE(outcomes.are_complete());
    });

    EXPECT_EQ(outcomes.failures(), 0U);
}

TEST_F(ProducerLifeTest, CloseWaitsForWhatIsInFlightAndRefusesTheRest) {
    const auto records = numbered("t", 1000);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        outcomes.send(producer, records);
        co_await producer.close();
        EXPECT_TRUE(outcomes.are_complete());
        const auto refused = co_await producer.send(records[0]);
        EXPECT_EQ(refused.error(), Errc::producer_closed);
        co_await producer.close();
    });

    EXPECT_EQ(outcomes.failures(), 0U);
}

TEST_F(ProducerLifeTest, CloseGivesUpAfterItsGrace) {
    const auto records = numbered("t", 10);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        cluster.all_brokers_down();
        outcomes.send(producer, records);
        bool is_closed = false;
        const auto until = now() + 200ms;

        asio::co_spawn(io, producer.close(200ms), [&](const std::exception_ptr&) { is_closed = true; });

        EXPECT_TRUE(co_await holds_soon_after(until, [&] { return is_closed; }));
        EXPECT_TRUE(co_await eventually([&] { return is_closed; }));
        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));
    });

    for (const auto& result : outcomes.results) EXPECT_EQ(result.error(), Errc::producer_closed);
}

TEST_F(ProducerLifeTest, ASendThatTheClientHasWhenItsProducerEndsMayBeWritten) {
    auto limited = config();
    limited.max_in_flight = 4;
    const auto records = numbered("t", 10);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        cluster.all_brokers_down();
        {
            Producer producer{io.get_executor(), limited};
            outcomes.send(producer, records);
        }
        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));
    });

    for (std::size_t i = 0; i < outcomes.results.size(); ++i) {
        const auto& error = outcomes.results[i].error();
        EXPECT_EQ(error, Errc::producer_closed);
        const bool may_be_written = error.inner() && *error.inner() == Errc::send_outcome_unknown;
        EXPECT_EQ(may_be_written, i < 4) << i;
    }
}

TEST_F(ProducerLifeTest, DestructionEndsItsSendsWithoutBlocking) {
    const auto records = numbered("t", 10);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        cluster.all_brokers_down();
        {
            Producer producer{io.get_executor(), config()};
            outcomes.send(producer, records);
        }
        EXPECT_EQ(outcomes.ended, 0U); // no user code inside a destructor
        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));
    });

    for (const auto& result : outcomes.results) EXPECT_EQ(result.error(), Errc::producer_closed);
}

// Several, since what the client complains of may come at any moment of the beginning.
TEST_F(ProducerLifeTest, OneThatIsOpenedInAnOutageWritesWhenItIsOver) {
    const auto records = numbered("t", 1);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        EXPECT_TRUE(cluster.create_topic("t", 1));
        cluster.all_brokers_down();
        std::vector<Producer> producers;
        for (int i = 0; i < 8; ++i) {
            producers.emplace_back(io.get_executor(), config());
            outcomes.send(producers.back(), records);
        }
        const auto has_noticed = [](const Producer& producer) { return !producer.get_stats().last_problem.empty(); };
        EXPECT_TRUE(co_await eventually([&] { return std::ranges::all_of(producers, has_noticed); }));

        cluster.all_brokers_up();

        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));
    });

    EXPECT_EQ(outcomes.failures(), 0U);
}

TEST_F(ProducerLifeTest, AContextMayBeDestroyedWithSendsInFlight) {
    const auto record = std::make_unique<Record>("t", "k", "v");
    const auto alive = std::make_shared<int>(0);
    {
        asio::io_context dying{1};
        // The coroutine owns the producer that it waits for.
        auto sending = [](asio::io_context& context, ProducerConfig settings, const Record& what,
                          std::shared_ptr<int> token) -> asio::awaitable<void> {
            Producer producer{context.get_executor(), settings};
            for (;;) co_await producer.send(what);
            (void)token;
        };
        cluster.all_brokers_down();
        asio::co_spawn(dying, sending(dying, config(), *record, alive), asio::detached);
        dying.run_for(100ms);
        EXPECT_GT(alive.use_count(), 1);
    }

    EXPECT_EQ(alive.use_count(), 1);
}

TEST_F(ProducerLifeTest, AProducerMayOutliveItsContext) {
    auto dying = std::make_unique<asio::io_context>(1);
    Producer producer{dying->get_executor(), config()};
    const Record record{"t", "k", "v"};
    bool was_called = false;
    producer.async_send(record, [&](const Result<Delivery>&) { was_called = true; });
    dying->run_for(1ms);

    dying.reset();

    EXPECT_FALSE(was_called && producer.get_stats().sent == 0);
}

TEST_F(ProducerLifeTest, AProducerErrorThatTheClientMendsIsWorthAnotherTry) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        const Record record{"t", "k", "v"};
        EXPECT_TRUE(co_await producer.send(record));
        cluster.fail_next_produce_requests({KafkaErrc{47}}); // old epoch: the client takes a new one by itself
        const auto failed = co_await producer.send(record);
        EXPECT_EQ(failed.error(), ErrorType::service_unavailable) << failed.error();
        const auto after = co_await producer.send(record);
        EXPECT_TRUE(after) << after.error();
    });
}

TEST_F(ProducerLifeTest, WorksOnAStrandOfAContextWithSeveralThreads) {
    asio::thread_pool pool{3};
    const auto strand = asio::make_strand(pool);
    int sent = 0;
    asio::co_spawn(
        strand,
        [](asio::any_io_executor executor, ProducerConfig settings, int& count) -> asio::awaitable<void> {
            Producer producer{executor, settings};
            for (int round = 0; round < 200; ++round) {
                const Record record{"t", std::to_string(round), "v"};
                const auto result = co_await producer.send(record);
                count += result ? 1 : 0;
            }
            co_await producer.close();
        }(strand, config(), sent),
        asio::detached);

    pool.join();

    EXPECT_EQ(sent, 200);
}

TEST_F(ProducerLifeTest, AHandlerOfAnotherExecutorIsCalledThere) {
    asio::io_context other{1};
    std::optional<Result<Delivery>> sent;
    const Record record{"t", "k", "v"};
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        producer.async_send(record, asio::bind_executor(other.get_executor(),
                                                        [&](Result<Delivery> result) { sent = std::move(result); }));
        EXPECT_TRUE(co_await eventually([&] { return producer.get_stats().sent == 1; }));
        EXPECT_FALSE(sent);
    });

    other.run();

    EXPECT_TRUE(sent && *sent);
}

TEST_F(ProducerLifeTest, AHandlerThatThrowsTakesNobodyElsesReport) {
    Producer producer{io.get_executor(), config()};
    const auto records = numbered("t", 500);
    int ended = 0, thrown = 0;
    for (const auto& record : records)
        producer.async_send(record, [&](const Result<Delivery>&) {
            if (++ended % 100 == 0) throw std::runtime_error{"thrown"};
        });

    for (bool is_over = false; !is_over;) {
        try {
            io.run();
            is_over = true;
        } catch (const std::runtime_error&) {
            ++thrown;
        }
    }

    EXPECT_EQ(ended, 500);
    EXPECT_EQ(thrown, 5);
    EXPECT_EQ(producer.get_stats().in_flight, 0U);
}

} // namespace
} // namespace velostream::kafka
