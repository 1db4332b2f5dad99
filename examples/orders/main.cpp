// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "input_error.hpp"
#include "job.hpp"
#include "options.hpp"
#include "order_line.hpp"
#include "output_file.hpp"
#include "panel.hpp"
#include "topics.hpp"

#ifndef ORDERS_DEFAULT_INPUT
#error "ORDERS_DEFAULT_INPUT names the orders that come with the project"
#endif

namespace {

namespace asio = boost::asio;
using namespace orders;
using velostream::Error;
using velostream::Result;

enum ExitCode { success = 0, failed_run = 1, wrong_options = 2, unreadable_input = 3 };

int complain(ExitCode code, const std::string& what) {
    std::fprintf(stderr, "orders_pipeline: %s\n", what.c_str());
    return code;
}

/// A file that is opened while a standard stream is closed would become that stream.
void keep_standard_streams() {
    for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (::fcntl(descriptor, F_GETFD) < 0) static_cast<void>(::open("/dev/null", O_RDWR));
}

/// The line at which the outage begins; reading the input once where it is given in per cent.
Result<std::optional<std::uint64_t>> outage_line(const Options& options) {
    if (!options.outage) return std::optional<std::uint64_t>{};
    if (!options.outage->at_percent) return std::optional{options.outage->at};
    const auto lines = count_lines(options);
    if (!lines) return lines.error();
    constexpr std::uint64_t whole = 100;
    return std::optional{*lines * options.outage->at / whole};
}

/// Creates the topics before any client could ask for one and so bring it into being with other settings.
Result<void> create_topics(asio::io_context& io, Cluster& cluster) {
    Result<void> created;
    asio::co_spawn(io, cluster.create_topics(), [&created](std::exception_ptr thrown, Result<void> result) {
        created = thrown ? Error::from_exception(thrown) : std::move(result);
    });
    io.run();
    io.restart();
    return created;
}

/// Runs the job beside its panel and the signals.
class Runner {
  public:
    Runner(asio::io_context& io, Job& job, Cluster& cluster, const Options& options)
        : io_(io),
          job_(job),
          cluster_(cluster),
          options_(options),
          panel_(options.quiet),
          tick_(io),
          patience_(io),
          signals_(io, SIGINT, SIGTERM) {}

    Result<void> run() {
        asio::co_spawn(io_, whole_run(), [this](std::exception_ptr thrown, Result<void> result) {
            outcome_ = thrown ? Error::from_exception(thrown) : std::move(result);
            io_.stop();
        });
        asio::co_spawn(io_, show_progress(), [](std::exception_ptr) {});
        wait_for_signal();
        io_.run();
        panel_.clear();
        return outcome_;
    }

    double seconds() const { return std::chrono::duration<double>(finished_ - began_).count(); }

  private:
    // With the clients leaving, below the half minute that supervisors commonly leave before they kill.
    static constexpr std::chrono::seconds longest_end{15};

    asio::awaitable<Result<void>> whole_run() {
        auto ended = co_await job_.run();
        finished_ = std::chrono::steady_clock::now();
        if (options_.clean) {
            const auto deleted = co_await cluster_.delete_topics();
            if (ended && !deleted) ended = deleted;
        }
        co_return ended;
    }

    asio::awaitable<void> show_progress() {
        boost::system::error_code stopped;
        while (!stopped) {
            tick_.expires_after(panel_.interval());
            auto token = asio::redirect_error(asio::use_awaitable, stopped);
            co_await tick_.async_wait(token);
            if (!stopped) panel_.show(job_.figures(), job_.progress(), std::chrono::steady_clock::now() - began_);
        }
    }

    void wait_for_signal() {
        signals_.async_wait([this](boost::system::error_code cancelled, int number) {
            if (cancelled) return;
            if (interrupted_) std::_Exit(failed_run); // the user insists
            interrupted_ = true;
            panel_.clear();
            std::fprintf(stderr, "orders_pipeline: %s, finishing what was read (again to stop at once)\n",
                         number == SIGINT ? "interrupted" : "asked to stop");
            job_.interrupt();
            give_up_in_time();
            wait_for_signal();
        });
    }

    // Brokers that are down would make the end wait for them.
    void give_up_in_time() {
        patience_.expires_after(longest_end);
        patience_.async_wait([this](boost::system::error_code cancelled) {
            if (cancelled) return;
            const auto& figures = job_.figures();
            const auto open = figures.read - figures.valid - figures.dead_letters_total();
            outcome_ = Error{boost::system::errc::make_error_code(boost::system::errc::timed_out),
                             std::to_string(open) + " of " + std::to_string(figures.read) + " lines are not finished " +
                                 std::to_string(longest_end.count()) + " s after the signal"};
            io_.stop();
        });
    }

    asio::io_context& io_;
    Job& job_;
    Cluster& cluster_;
    const Options& options_;
    Panel panel_;
    asio::steady_timer tick_, patience_;
    asio::signal_set signals_;
    bool interrupted_ = false;
    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    std::chrono::steady_clock::time_point finished_ = began_;
    Result<void> outcome_;
};

} // namespace

int main(int argc, char** argv) {
    keep_standard_streams();
    std::signal(SIGPIPE, SIG_IGN); // who reads the output may leave; the work is still done, and the end says so
    const auto parsed = parse_options(argc, argv, ORDERS_DEFAULT_INPUT);
    if (parsed.exit_code) return *parsed.exit_code;
    const auto& options = parsed.options;

    OutputFile report{options.report}, copy{options.write_orders};
    if (!report.is_writable()) return complain(wrong_options, "--report " + *options.report + ": cannot be written");
    if (!copy.is_writable())
        return complain(wrong_options, "--write-orders " + *options.write_orders + ": cannot be written");
    const std::string input = options.input == "-" ? "/dev/stdin" : options.input;
    if (!options.generate && report.is(input)) return complain(wrong_options, "--report is the input");
    if (!options.generate && copy.is(input)) return complain(wrong_options, "--write-orders is the input");
    if (options.report && copy.is(*options.report)) return complain(wrong_options, "--write-orders is the --report");

    const auto outage_at = outage_line(options);
    if (!outage_at) return complain(unreadable_input, outage_at.error().message());
    auto lines = open_lines(options);
    if (!lines) return complain(unreadable_input, lines.error().message());

    try {
        asio::io_context io{1};
        Cluster cluster{options};
        const auto created = create_topics(io, cluster);
        if (!created) return complain(failed_run, created.error().message());
        if (options.brokers && !options.quiet)
            std::printf("topics %s, %s and %s\n", cluster.orders().c_str(), cluster.totals().c_str(),
                        cluster.dead_letters().c_str());
        auto* const kept_lines = copy.begin();
        if (kept_lines) *kept_lines << header_line << '\n';
        Job job{io, options, cluster, std::move(*lines), *outage_at, kept_lines};
        Runner runner{io, job, cluster, options};
        const auto ran = runner.run();

        auto figures = job.figures();
        figures.seconds = runner.seconds();
        if (!ran && ran.error() == InputErrc::unreadable) return complain(unreadable_input, ran.error().message());
        if (!copy.finish())
            return complain(failed_run, "--write-orders " + *options.write_orders + ": cannot be written");
        if (!ran) return complain(failed_run, ran.error().message());
        if (!options.quiet) std::fputs(summary(figures).c_str(), stdout);
        if (auto* const stream = report.begin()) *stream << report_json(figures);
        if (!report.finish()) return complain(failed_run, "--report " + *options.report + ": cannot be written");
        if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
            return complain(failed_run, "standard output cannot be written");
        const auto wrong = figures.discrepancies();
        for (const auto& each : wrong) complain(failed_run, "the counts do not add up: " + each);
        return wrong.empty() ? success : failed_run;
    } catch (const std::exception& exception) {
        return complain(failed_run, exception.what());
    }
}
