// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "input/lines.hpp"
#include "program/end.hpp"
#include "program/options.hpp"
#include "program/output_file.hpp"
#include "program/report.hpp"
#include "program/runner.hpp"
#include "program/stop_signals.hpp"

#ifndef ORDERS_DEFAULT_INPUT
#error "ORDERS_DEFAULT_INPUT names the orders that come with the project"
#endif

namespace {

using namespace orders;
using velostream::Result;

int complain(ExitCode code, const std::string& what) {
    std::fprintf(stderr, "orders_pipeline: %s\n", what.c_str());
    return code;
}

/// A file that is opened while a standard stream is closed would become that stream.
void keep_standard_streams() {
    for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (::fcntl(descriptor, F_GETFD) < 0) static_cast<void>(::open("/dev/null", O_RDWR));
}

/// What is wrong with the files to be written; empty if nothing.
std::string problem_of(const Options& options, const OutputFile& report, const OutputFile& copy) {
    if (!report.is_writable()) return "--report " + *options.report + ": cannot be written";
    if (!copy.is_writable()) return "--write-orders " + *options.write_orders + ": cannot be written";
    const std::string input = options.input == "-" ? "/dev/stdin" : options.input;
    if (!options.generate && report.is(input)) return "--report is the input";
    if (!options.generate && copy.is(input)) return "--write-orders is the input";
    if (options.report && copy.is(*options.report)) return "--write-orders is the --report";
    return {};
}

/// The lines at which outages begin; reading the input once where one is given in per cent.
Result<OutageLines> outage_lines(const Options& options, const StopSignals& stop) {
    const auto is_in_percent = [](const std::optional<Outage>& outage) { return outage && outage->at_percent; };
    std::uint64_t lines = 0;
    if (is_in_percent(options.outage) || is_in_percent(options.db_outage)) {
        const auto counted = count_lines(options, stop);
        if (!counted) return counted.error();
        lines = *counted;
    }
    const auto line_of = [lines](const std::optional<Outage>& outage) -> std::optional<std::uint64_t> {
        if (!outage) return std::nullopt;
        constexpr std::uint64_t whole = 100;
        return outage->at_percent ? lines * outage->at / whole : outage->at;
    };
    return OutageLines{.brokers = line_of(options.outage), .database = line_of(options.db_outage)};
}

/// A signal came before anything was read: all of that is finished.
End interrupted(const Options& options) {
    Figures figures;
    figures.interrupted = true;
    figures.memory_limit = options.memory_mb * velostream::mebibyte;
    return {success, std::move(figures)};
}

End run(const Options& options, OutputFile& copy, const StopSignals& stop) {
    const auto outages = outage_lines(options, stop);
    if (!outages)
        return outages.error() == velostream::Errc::cancelled ? interrupted(options) : failed(outages.error());
    auto lines = open_lines(options, stop);
    if (stop.requested()) return interrupted(options);
    if (!lines) return failed(lines.error());

    Runner runner{options, stop, std::move(*lines), *outages, copy};
    const auto ran = runner.run();
    auto end = end_of_run(ran, runner.figures());
    if (end.code != unreadable_input && !copy.finish()) {
        end.code = failed_run;
        end.figures.error = "--write-orders " + *options.write_orders + ": cannot be written";
    }
    return end;
}

/// Summary, report and error. Nothing is reported of an input that could not be read at all.
int tell(End end, const Options& options, OutputFile& report) {
    auto& [code, figures] = end;
    const bool has_figures = code != unreadable_input || figures.read > 0;
    if (has_figures && !options.quiet) std::fputs(summary(figures).c_str(), stdout);
    if ((std::fflush(stdout) != 0 || std::ferror(stdout) != 0) && code == success) {
        code = failed_run;
        figures.error = "standard output cannot be written";
    }
    if (has_figures && !report.replace_by(report_json(figures))) {
        complain(failed_run, "--report " + *options.report + ": cannot be written");
        if (code == success) return failed_run;
    }
    if (code != success) return complain(code, figures.error);
    const auto never_came = [&figures](const char* what, const std::optional<std::uint64_t>& due) {
        if (due)
            complain(success, std::string{what} + " never came: it was due after line " + grouped(*due) +
                                  ", and the input had " + grouped(figures.read));
    };
    never_came("the outage", figures.outages_due.brokers);
    never_came("the outage of the database", figures.outages_due.database);
    return success;
}

} // namespace

int main(int argc, char** argv) {
    keep_standard_streams();
    std::signal(SIGPIPE, SIG_IGN); // who reads the output may leave; the work is still done, and the end says so
    try {
        const StopSignals stop;
        const auto parsed = parse_options(argc, argv, ORDERS_DEFAULT_INPUT);
        if (parsed.exit_code) return *parsed.exit_code;
        const auto& options = parsed.options;
        OutputFile report{options.report}, copy{options.write_orders};
        const auto problem = problem_of(options, report, copy);
        if (!problem.empty()) return complain(wrong_options, problem);

        End end;
        try {
            end = run(options, copy, stop);
        } catch (const std::exception& exception) {
            end = {failed_run, {}};
            end.figures.error = exception.what();
        }
        return tell(std::move(end), options, report);
    } catch (const std::exception& exception) {
        return complain(failed_run, exception.what());
    }
}
