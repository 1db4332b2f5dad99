// SPDX-License-Identifier: Apache-2.0
// Clients and loops that find no memory at some point. They need no broker. Nothing fails under a sanitizer.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "event_signal_fixture.hpp"
#include "kafka/consumer_core.hpp"
#include "support/counting_new.hpp"
#include "support/open_eventfds.hpp"
#include "velostream/kafka/consumer.hpp"
#include "velostream/kafka/consumer_pool.hpp"
#include "velostream/kafka/producer.hpp"

namespace velostream::kafka {
namespace {

using testing::allocations;
using testing::allocations_until_failure;
using testing::with_each_request_failing;

const ProducerConfig producer_config{.bootstrap_servers = "127.0.0.1:1"};
const ConsumerConfig consumer_config{.bootstrap_servers = "127.0.0.1:1", .group_id = "g", .topics = {"t"}};

class NoMemoryTest : public ::testing::Test {
  protected:
    NoMemoryTest() {
        {
            const Consumer services_are_there_from_now_on{io.get_executor(), consumer_config};
        }
        poll();
    }

    void poll() {
        io.restart();
        io.poll();
    }
    template <class Call>
    std::int64_t requests_of(Call call) {
        const auto before = allocations;
        call();
        return static_cast<std::int64_t>(allocations - before);
    }

    asio::io_context io{1};
};

// The last three requests are those of the timer's wait, for which Boost 1.81 ends the program: they are left out.
TEST_F(NoMemoryTest, AContextHasNothingOfAConsumerThatCouldNotBeOpened) {
    std::optional<Consumer> consumer;
    const auto open = [&] { consumer.emplace(io.get_executor(), consumer_config); };
    std::int64_t requests = 0;
    bool is_alone = false;
    for (int turn = 0; turn < 1000 && !is_alone; ++turn) { // else what it is told of the brokers is counted, too
        requests = requests_of(open);
        is_alone = consumer->get_stats().last_problem.empty();
        consumer.reset();
        poll();
    }
    ASSERT_TRUE(is_alone);
    constexpr int of_wait = 3;
    ASSERT_GE(requests, 10);

    for (std::int64_t before_failure = 0; before_failure < requests - of_wait; ++before_failure) {
        allocations_until_failure = before_failure;
        EXPECT_THROW(open(), std::bad_alloc) << before_failure;
        allocations_until_failure = -1;
        poll();

        EXPECT_TRUE(io.stopped()) << before_failure;
    }
}

// A loop of a consumer that was not opened: nothing else happens in its context, and nobody stops it.
class LonelyLoop {
  public:
    explicit LonelyLoop(std::size_t workers)
        : core_(std::make_shared<detail::ConsumerCore>(context_.get_executor(), consumer_config)),
          loop_(detail::open_record_loop(core_, {.max_in_flight = workers})) {}
    LonelyLoop(const LonelyLoop&) = delete;
    LonelyLoop& operator=(const LonelyLoop&) = delete;
    ~LonelyLoop() {
        core_->retire();
        run();
    }

    void begin() {
        const auto handler = [](const ConsumedRecord&) -> asio::awaitable<void> { co_return; };
        asio::co_spawn(context_, detail::run_record_loop(loop_, handler),
                       [this](const std::exception_ptr& thrown, const Result<void>& result) {
                           has_ended_ = true;
                           has_succeeded_ = !thrown && result;
                       });
        context_.poll();
    }
    void run() {
        context_.restart();
        context_.poll();
    }
    bool has_ended() const { return has_ended_; }
    bool has_succeeded() const { return has_succeeded_; }

  private:
    asio::io_context context_{1};
    std::shared_ptr<detail::ConsumerCore> core_;
    std::shared_ptr<detail::RecordLoop> loop_;
    bool has_ended_ = false;
    bool has_succeeded_ = false;
};

TEST_F(NoMemoryTest, ALoopThatFindsNoneForAWorkerEndsWithAnError) {
    for (const std::size_t workers : {1U, 2U}) {
        std::optional<LonelyLoop> loop{std::in_place, workers};
        int thrown = 0, ended = 0;
        const auto begin = [&] {
            try {
                loop->begin();
            } catch (const std::bad_alloc&) {
                ++thrown;
            }
        };
        const auto failures = with_each_request_failing(begin, [&] {
            loop->run();
            EXPECT_FALSE(loop->has_succeeded());
            ended += loop->has_ended() ? 1 : 0;
            loop.emplace(workers);
        });

        EXPECT_GE(ended, 3);
        constexpr int of_listening = 1; // which a consumer that was opened tries again at its next tick
        EXPECT_EQ(thrown + ended + of_listening, failures);
    }
}

TEST_F(NoMemoryTest, APoolThatFindsNoneForALoopEndsThoseThatHaveBegun) {
    const KafkaPoolConfig pool_config{.consumer_pool_size = 3};
    const auto handler = [](const ConsumedRecord&) -> asio::awaitable<void> { co_return; };
    std::optional<ConsumerPool> pool;
    bool has_ended = false, has_succeeded = false;
    const auto open = [&] {
        pool.emplace(io.get_executor(), pool_config, consumer_config);
        has_ended = has_succeeded = false;
    };
    const auto begin = [&] {
        try {
            asio::co_spawn(io, pool->for_each({.max_in_flight = 3}, handler),
                           [&](const std::exception_ptr& problem, const Result<void>& result) {
                               has_ended = true;
                               has_succeeded = !problem && result;
                           });
            poll();
        } catch (const std::bad_alloc&) { // of the context itself: nobody hears of an end
        }
    };
    open();
    int ended = 0;
    with_each_request_failing(begin, [&] {
        poll();
        EXPECT_FALSE(has_succeeded);
        if (has_ended) {
            ++ended;
            EXPECT_NO_THROW(static_cast<void>(pool->for_each({}, handler))) << "no loop is left";
        }
        pool.reset();
        poll();
        open();
    });

    EXPECT_GE(ended, 3);
}

// Its deadline, for which its context sleeps, is armed before the last request.
TEST_F(NoMemoryTest, ASendThatFindsNoneLeavesItsContextNothingToWaitFor) {
    const Record record{"t", "k", "v"};
    std::optional<Result<Delivery>> sent;
    const auto send_with = [&](Producer& producer) {
        producer.async_send(record, [&](Result<Delivery> result) { sent = std::move(result); });
    };
    bool has_failed = false;
    for (int turn = 0; turn < 1000 && !has_failed; ++turn) { // else what it is told of the brokers is counted, too
        std::int64_t requests = 0;
        {
            Producer producer{io.get_executor(), producer_config};
            requests = requests_of([&] { send_with(producer); });
        }
        poll();
        sent.reset();
        Producer producer{io.get_executor(), producer_config};

        allocations_until_failure = requests - 1;
        send_with(producer);
        has_failed = std::exchange(allocations_until_failure, -1) < 0;
        if (!has_failed) continue;
        poll();

        EXPECT_TRUE(sent && sent->error() == Errc::send_outcome_unknown);
        EXPECT_TRUE(io.stopped());
    }
    EXPECT_TRUE(has_failed);
}

// Each turn in a new context, which has kept no memory for it, with the services that it needs.
TEST_F(NoMemoryTest, ASignalThatCannotBeMadeLeavesNoDescriptorBehind) {
    struct Nobody final : EventSignal::Owner {
        void on_events() override {}
    } nobody;
    std::optional<asio::io_context> context;
    std::optional<asio::posix::stream_descriptor> services;
    std::size_t eventfds = 0;
    const auto begin = [&] {
        services.reset();
        context.emplace(1);
        services.emplace(*context);
        eventfds = testing::open_eventfds();
    };
    begin();

    const auto failures = with_each_request_failing(
        [&] {
            try {
                const EventSignal signal{context->get_executor(), nobody};
            } catch (const std::bad_alloc&) {
            }
        },
        [&] {
            EXPECT_EQ(testing::open_eventfds(), eventfds);
            begin();
        });

    EXPECT_GE(failures, 4);
}

TEST_F(NoMemoryTest, ASignalThatFindsNoneToListenDoesWhenItIsAskedAgain) {
    auto handle = std::make_unique<Handle>(io.get_executor());

    const auto failures = with_each_request_failing(
        [&] {
            try {
                handle->signal->listen();
            } catch (const std::bad_alloc&) {
            }
        },
        [&] {
            handle->signal->listen();
            handle->client.make_event();
            poll();
            EXPECT_EQ(handle->client.reports, 1);
            handle = std::make_unique<Handle>(io.get_executor());
        });

    EXPECT_GE(failures, 1);
}

// Of two that listen, each time with a new context.
TEST_F(NoMemoryTest, AWakeThatFindsNoneComesLaterOrWhenItsSignalListensAgain) {
    struct Two {
        Two() {
            for (auto* const handle : {&first, &second}) handle->signal->listen();
            poll();
            for (auto* const handle : {&first, &second}) handle->client.reports = 0;
        }
        void poll() {
            context.restart();
            context.poll();
        }
        asio::io_context context{1};
        Handle first{context.get_executor()}, second{context.get_executor()};
    };
    auto two = std::make_unique<Two>();

    const auto failures = with_each_request_failing(
        [&] {
            for (auto* const handle : {&two->first, &two->second}) handle->client.make_event();
            try {
                two->context.poll();
            } catch (const std::bad_alloc&) {
            }
        },
        [&] {
            two->poll();
            for (auto* const handle : {&two->first, &two->second}) handle->signal->listen();
            two->poll();
            for (auto* const handle : {&two->first, &two->second}) EXPECT_EQ(handle->client.reports, 1);
            two = std::make_unique<Two>();
        });

    EXPECT_GE(failures, 1);
}

} // namespace
} // namespace velostream::kafka
#endif
