// SPDX-License-Identifier: Apache-2.0
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "tools/dlq/commands.hpp"
#include "tools/dlq/progress.hpp"
#include "tools/dlq/redrive.hpp"
#include "tools/dlq/redrive_report.hpp"
#include "tools/dlq/sender.hpp"

namespace velostream::dlq {

namespace {

/// The run, from connecting to leaving.
class Run {
  public:
    /// Without a spool the letters are in the topic.
    Run(const Options& options, std::unique_ptr<LetterQueue> spool) : letters_(std::move(spool)), progress_("redrive") {
        const auto& [topic, cluster, folder] = options.source;
        if (!letters_) letters_ = std::make_unique<TopicQueue>(io_, cluster, topic, options.group);
        if (!options.dry_run) sender_.emplace(io_, options.source.cluster, options.rate);
        redrive_.emplace(RedriveOptions{.rules = {.filter = options.filter,
                                                  .dead_letter_topic = options.source.topic,
                                                  .to = options.to,
                                                  .max_redrives = options.max_redrives},
                                        .canary = options.canary,
                                        .most = options.most,
                                        .dry_run = options.dry_run},
                         *letters_,
                         [this](std::span<const kafka::Record> records, const std::function<bool()>& goes_on,
                                const SendEnded& ended) { return sender_->send(records, goes_on, ended); });
        redrive_->on_progress = [this] {
            const auto [done, whole] = letters_->progress();
            progress_.show(done, whole);
        };
    }

    Result<void> run() {
        signals_.async_wait([this](boost::system::error_code cancelled, int) {
            if (cancelled) return;
            progress_.clear();
            std::fputs("velostream-dlq: interrupted, finishing what was begun (again to stop at once)\n", stderr);
            redrive_->interrupt();
            signals_.clear(); // the next one ends the program
        });
        std::exception_ptr thrown;
        Result<void> result;
        asio::co_spawn(io_, whole_run(), [&](std::exception_ptr problem, Result<void> answer) {
            thrown = std::move(problem);
            result = std::move(answer);
            io_.stop();
        });
        io_.run();
        progress_.clear();
        if (thrown) std::rethrow_exception(thrown);
        return result;
    }

    const Redrive& redrive() const { return *redrive_; }

  private:
    asio::awaitable<Result<void>> whole_run() {
        auto ran = co_await redrive_->run();
        if (sender_) co_await sender_->close();
        co_return ran;
    }

    asio::io_context io_{1};
    asio::signal_set signals_{io_, SIGINT, SIGTERM};
    std::unique_ptr<LetterQueue> letters_;
    std::optional<Sender> sender_;
    std::optional<Redrive> redrive_;
    Progress progress_;
};

} // namespace

Ended redrive(const Options& options) {
    std::unique_ptr<SpoolQueue> spool;
    if (!options.source.is_topic()) {
        auto opened = SpoolQueue::open(options.source.spool);
        if (!opened) return ended_with(unreadable_input, opened.error());
        spool = std::make_unique<SpoolQueue>(std::move(*opened));
    }
    const auto* const spool_queue = spool.get();
    Run run{options, std::move(spool)};
    const auto ran = run.run();
    if (spool_queue)
        for (const auto& [name, bytes] : spool_queue->damage()) tell_of_damage(name, bytes);
    const auto& redrive = run.redrive();
    if (redrive.could_not_read() && redrive.figures().read == 0) return ended_with(unreadable_input, ran.error());
    const auto report =
        options.json ? redrive_json(redrive.figures(), options) : redrive_text(redrive.figures(), options);
    std::fputs(report.c_str(), stdout);
    if (!ran) return ended_with(redrive.could_not_read() ? unreadable_input : failed_command, ran.error());
    if (redrive.was_interrupted()) return {failed_command, "interrupted; the same command goes on from there"};
    return {};
}

} // namespace velostream::dlq
