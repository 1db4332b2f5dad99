// SPDX-License-Identifier: Apache-2.0
#include "program/runner.hpp"

#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <exception>
#include <string>
#include <utility>

#include "order_line.hpp"
#include "velostream/kafka/error.hpp"

namespace orders {

using velostream::Error;
using velostream::Result;

namespace {

// After a signal. With two seconds for the group, and ten in which the library's clients leave as the program ends,
// well below the half minute that supervisors commonly leave before they kill.
constexpr std::chrono::seconds longest_end{10};
constexpr std::chrono::seconds patience_with_topics{10};
constexpr std::chrono::seconds short_patience_with_topics{3}; // after a signal

Error unfinished(const Figures& figures) {
    return {boost::system::errc::make_error_code(boost::system::errc::timed_out),
            std::to_string(figures.unfinished()) + " of " + std::to_string(figures.read) + " lines are not finished " +
                std::to_string(longest_end.count()) + " s after the signal"};
}

} // namespace

Runner::Runner(const Options& options, const StopSignals& stop, std::unique_ptr<Lines> lines,
               const OutageLines& outages, OutputFile& copy)
    : options_(options),
      stop_(stop),
      lines_(std::move(lines)),
      outages_(outages),
      copy_(copy),
      cluster_(options),
      panel_(options.quiet),
      tick_(io_),
      patience_(io_),
      signals_(io_, ::dup(stop.descriptor())) {}

Result<void> Runner::run() {
    asio::co_spawn(io_, whole_run(), [this](const std::exception_ptr& thrown, Result<void> result) {
        outcome_ = thrown ? Error::from_exception(thrown) : std::move(result);
        io_.stop();
    });
    wait_for_signal();
    io_.run();
    panel_.clear();
    return outcome_;
}

Figures Runner::figures() {
    Figures figures;
    figures.memory_limit = options_.memory_mb * velostream::mebibyte;
    if (job_) figures = job_->final_figures();
    figures.interrupted = stop_.requested();
    const auto end = finished_.value_or(std::chrono::steady_clock::now());
    figures.seconds = std::chrono::duration<double>(end - began_).count();
    return figures;
}

asio::awaitable<Result<void>> Runner::whole_run() {
    const auto created = co_await create_topics();
    if (stop_.requested()) co_return Result<void>{}; // nothing was read: nothing to finish
    if (!created) co_return created;
    auto ended = co_await run_job();
    if (options_.clean && !has_given_up_) {
        const auto patience = stop_.requested() ? short_patience_with_topics : patience_with_topics;
        const auto deleted = co_await cluster_.delete_topics(patience);
        if (ended && !deleted) ended = deleted;
    }
    co_return ended;
}

// Before any client could ask for one and so bring it into being with other settings.
asio::awaitable<Result<void>> Runner::create_topics() {
    auto token = asio::bind_cancellation_slot(starting_.slot(), asio::as_tuple(asio::use_awaitable));
    auto [thrown, created] = co_await asio::co_spawn(io_, cluster_.create_topics(), token);
    if (thrown) co_return Error::from_exception(thrown);
    if (options_.brokers && created.has_error() &&
        created.error() == velostream::kafka::KafkaErrc::topic_already_exists)
        co_return Error{created.error().code(),
                        "topics of --prefix " + options_.prefix + ": delete them, or give another prefix"};
    if (created && options_.brokers && !options_.quiet)
        std::printf("topics %s, %s and %s\n", cluster_.orders().c_str(), cluster_.totals().c_str(),
                    cluster_.dead_letters().c_str());
    co_return created;
}

asio::awaitable<Result<void>> Runner::run_job() {
    auto* const kept_lines = copy_.begin();
    if (kept_lines) *kept_lines << header_line << '\n';
    job_ = std::make_unique<Job>(io_, options_, cluster_, std::move(lines_), outages_, kept_lines);
    asio::co_spawn(io_, show_progress(), [](const std::exception_ptr&) {});
    began_ = std::chrono::steady_clock::now();
    auto ended = co_await job_->run();
    finished_ = std::chrono::steady_clock::now();
    patience_.cancel();
    if (has_given_up_ && !ended && ended.error() == velostream::Errc::cancelled) ended = unfinished(job_->figures());
    co_return ended;
}

asio::awaitable<void> Runner::show_progress() {
    boost::system::error_code stopped;
    while (!stopped) {
        tick_.expires_after(panel_.interval());
        auto token = asio::redirect_error(asio::use_awaitable, stopped);
        co_await tick_.async_wait(token);
        if (!stopped) panel_.show(job_->figures(), job_->progress(), std::chrono::steady_clock::now() - began_);
    }
}

void Runner::wait_for_signal() {
    signals_.async_wait(asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code cancelled) {
        if (!cancelled) on_signal();
    });
}

void Runner::on_signal() {
    if (!job_) return starting_.emit(asio::cancellation_type::terminal);
    panel_.clear();
    if (is_writable(STDERR_FILENO))
        std::fprintf(stderr, "orders_pipeline: %s, finishing what was read (again to stop at once)\n", stop_.what());
    job_->interrupt();
    give_up_in_time();
}

// Brokers that are down would make the end wait for them.
void Runner::give_up_in_time() {
    patience_.expires_after(longest_end);
    patience_.async_wait([this](boost::system::error_code cancelled) {
        if (cancelled || finished_) return;
        has_given_up_ = true;
        job_->give_up();
    });
}

} // namespace orders
