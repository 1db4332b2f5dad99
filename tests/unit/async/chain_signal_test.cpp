// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/chain_signal.hpp"

#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "velostream/async/frame_memory.hpp"

namespace velostream::detail {
namespace {

using asio::cancellation_type;

class ChainSignalTest : public ::testing::Test {
  protected:
    // Waits, in a chain that the signal cancels, with what `prepare` made of its state.
    template <class Filter>
    void launch(Filter filter) {
        RunningChain chain{waits(own_frame, *this, filter), io.get_executor(), signal->slot(), signal->state()};
        chain.launch();
    }
    void launch() {
        RunningChain chain{waits(own_frame, *this), io.get_executor(), signal->slot(), signal->state()};
        chain.launch();
    }

    // What it awaits: it hears of cancellations, and ends when the test resumes it.
    struct Wait {
        bool begin(RunningChain& chain) {
            auto slot = chain.get_cancellation_state().slot();
            EXPECT_TRUE(slot.is_connected());
            slot.assign([this](cancellation_type kind) { test.heard = kind; });
            return false;
        }
        template <class Detach>
        void wait(Detach detach) {
            test.resume = [waiting = std::make_shared<WaitingChain>(detach())] { (*waiting)(); };
        }
        void end() noexcept {}

        ChainSignalTest& test;
    };
    static asio::awaitable<ChainEntry> waits(OwnFrame, ChainSignalTest& test) {
        Wait wait{test};
        co_await wait;
        const auto state = co_await asio::this_coro::cancellation_state;
        test.cancelled = state.cancelled();
    }
    template <class Filter>
    static asio::awaitable<ChainEntry> waits(OwnFrame, ChainSignalTest& test, Filter filter) {
        co_await asio::this_coro::reset_cancellation_state(filter);
        Wait wait{test};
        co_await wait;
        const auto state = co_await asio::this_coro::cancellation_state;
        test.cancelled = state.cancelled();
    }

    asio::io_context io;
    std::optional<ChainSignal> signal{std::in_place};
    cancellation_type heard = cancellation_type::none;
    cancellation_type cancelled = cancellation_type::none;
    std::function<void()> resume;
};

TEST_F(ChainSignalTest, EveryKindComesToWhatTheChainAwaitsAndToItsState) {
    for (const auto kind : {cancellation_type::terminal, cancellation_type::partial, cancellation_type::total}) {
        signal.emplace();
        launch();

        signal->emit(kind);
        resume();

        EXPECT_EQ(heard, kind);
        EXPECT_EQ(cancelled, kind);
    }
}

TEST_F(ChainSignalTest, ComesThroughTheFilterOfAChainThatHasResetItsState) {
    launch(asio::enable_terminal_cancellation{});

    signal->emit(cancellation_type::partial);
    EXPECT_EQ(heard, cancellation_type::none);
    signal->emit(cancellation_type::terminal);
    resume();

    EXPECT_EQ(heard, cancellation_type::terminal);
    EXPECT_EQ(cancelled, cancellation_type::terminal);
}

TEST_F(ChainSignalTest, DoesNotComeToAChainThatHasDisabledItsCancellation) {
    launch(asio::disable_cancellation{});

    signal->emit(cancellation_type::terminal);
    resume();

    EXPECT_EQ(heard, cancellation_type::none);
    EXPECT_EQ(cancelled, cancellation_type::none);
}

TEST_F(ChainSignalTest, HasNothingToTellOnceTheChainGoesOn) {
    launch();
    resume();

    signal->emit(cancellation_type::terminal);

    EXPECT_EQ(heard, cancellation_type::none);
}

} // namespace
} // namespace velostream::detail
