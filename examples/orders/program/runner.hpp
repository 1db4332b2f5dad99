// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "accounting/figures.hpp"
#include "input/lines.hpp"
#include "job.hpp"
#include "program/cluster.hpp"
#include "program/options.hpp"
#include "program/output_file.hpp"
#include "program/panel.hpp"
#include "program/stop_signals.hpp"

namespace orders {

/// The run from the first topic to the last: cluster, topics, the job beside its panel, and the signals.
class Runner {
  public:
    /// Everything given must outlive this object. Throws where the embedded cluster cannot be started.
    Runner(const Options& options, const StopSignals& stop, std::unique_ptr<Lines> lines, const OutageLines& outages,
           OutputFile& copy);

    /// Success also where a signal ended it and what was read was finished. A signal before the job began ends it at
    /// once.
    velostream::Result<void> run();

    /// What was done, however `run` ended.
    Figures figures();

  private:
    asio::awaitable<velostream::Result<void>> whole_run();
    asio::awaitable<velostream::Result<void>> create_topics();
    asio::awaitable<velostream::Result<void>> run_job();
    asio::awaitable<void> show_progress();
    void wait_for_signal();
    void on_signal();
    void give_up_in_time();

    const Options& options_;
    const StopSignals& stop_;
    std::unique_ptr<Lines> lines_;
    const OutageLines outages_;
    OutputFile& copy_;

    asio::io_context io_{1};
    Cluster cluster_;
    std::unique_ptr<Job> job_; // once the topics are there
    Panel panel_;
    asio::steady_timer tick_, patience_;
    bool has_given_up_ = false;
    asio::posix::stream_descriptor signals_;
    asio::cancellation_signal starting_; // ends what comes before the job
    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    std::optional<std::chrono::steady_clock::time_point> finished_;
    velostream::Result<void> outcome_;
};

} // namespace orders
