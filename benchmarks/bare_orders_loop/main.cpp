// SPDX-License-Identifier: Apache-2.0
//
// The floor of the main job as a program of its own, so that both can be measured as whole processes.
#include <CLI/CLI.hpp>

#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "loop.hpp"
#include "orders/order_lines.hpp"

namespace {

using namespace velostream::bare;

std::string amount_text(std::int64_t thousandths) {
    std::array<char, 32> text{};
    return {text.data(), write_amount(text.data(), thousandths)};
}

/// With the keys of the main job's report.
nlohmann::ordered_json report_of(const LoopResult& result) {
    const auto count = [&](Fault fault) { return result.by_fault[static_cast<std::size_t>(fault)]; };
    nlohmann::ordered_json report;
    report["lines"] = result.lines;
    report["valid"] = result.valid;
    report["dead_letters"]["total"] = result.lines - result.valid;
    report["dead_letters"]["by_reason"] = {{"line", count(Fault::line)},
                                           {"CustomerID", count(Fault::customer_id)},
                                           {"Quantity", count(Fault::quantity)},
                                           {"UnitPrice", count(Fault::unit_price)}};
    report["customers"] = result.customers;
    report["grand_total"] = amount_text(result.grand_total);
    report["seconds"] = result.seconds;
    return report;
}

} // namespace

int main(int argc, char** argv) {
    LoopOptions options;
    std::string report_file;
    CLI::App app{"Sums up orders per customer through Kafka on plain librdkafka, ungoverned."};
    app.add_option("--input", options.input, "order lines (CSV, .zst too)")->required();
    app.add_option("--brokers", options.brokers, "HOST:PORT of a real cluster instead of a mock one");
    app.add_option("--prefix", options.prefix, "of topics and group");
    app.add_option("--partitions", options.partitions, "of each topic")->check(CLI::PositiveNumber);
    app.add_flag("--defaults", options.defaults, "librdkafka's own settings, one poll a record");
    app.add_flag("--keep-topics", options.keep_topics, "do not delete them from a real cluster");
    app.add_option("--report", report_file, "write counts and totals to this file instead of standard output");
    CLI11_PARSE(app, argc, argv);

    try {
        const auto report = report_of(run_loop(options)).dump(2);
        if (report_file.empty()) {
            std::cout << report << '\n';
            return EXIT_SUCCESS;
        }
        std::ofstream file{report_file};
        file << report << '\n';
        if (!file.flush()) throw std::runtime_error{"cannot write " + report_file};
        return EXIT_SUCCESS;
    } catch (const std::exception& error) {
        std::cerr << "bare_orders_loop: " << error.what() << '\n';
        return EXIT_FAILURE;
    }
}
