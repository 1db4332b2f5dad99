// SPDX-License-Identifier: Apache-2.0
#include "program/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace orders {
namespace {

Figures some_figures() {
    Figures figures;
    figures.read = figures.lines = 10;
    figures.valid = 7;
    figures.dead_letters = {0, 2, 0, 1, 0};
    figures.totals_sent = figures.totals_acknowledged = 7;
    figures.memory_limit = 1'048'576;
    figures.memory_peak = 4'096;
    figures.seconds = 2.5;
    figures.top = {{.customer = "A\"1\xFF", .lines = 7, .total = 12'340}};
    figures.grand_total = 12'340;
    return figures;
}

TEST(Figures, AddUpOrSayWhatDoesNot) {
    EXPECT_TRUE(some_figures().discrepancies().empty());

    auto lost = some_figures();
    lost.read = 11;
    EXPECT_EQ(lost.discrepancies(), std::vector<std::string>{"11 lines read, but 10 processed"});

    auto unjudged = some_figures();
    unjudged.valid = 6;
    EXPECT_EQ(unjudged.discrepancies(), std::vector<std::string>{"10 lines, but 6 valid + 3 dead letters"});

    auto not_looked_up = some_figures();
    not_looked_up.lookup = LookupFigures{.found = 4, .unknown = 2};
    EXPECT_EQ(not_looked_up.discrepancies(), std::vector<std::string>{"7 valid lines, but 6 look-ups"});

    auto unacknowledged = some_figures();
    unacknowledged.totals_acknowledged = 5;
    EXPECT_EQ(unacknowledged.discrepancies(), std::vector<std::string>{"7 totals sent, but 5 acknowledged"});
}

TEST(ReportJson, HasTheStableKeysAndIsValidJsonWhateverACustomerIsCalled) {
    const auto report = nlohmann::json::parse(report_json(some_figures()));
    EXPECT_EQ(report["lines"], 10);
    EXPECT_EQ(report["valid"], 7);
    EXPECT_EQ(report["dead_letters"]["total"], 3);
    EXPECT_EQ(report["dead_letters"]["by_reason"],
              (nlohmann::json{{"line", 0}, {"CustomerID", 2}, {"Quantity", 0}, {"UnitPrice", 1}, {"memory", 0}}));
    EXPECT_EQ(report["grand_total"], "12.34");
    EXPECT_EQ(report["top"][0]["lines"], 7);
    EXPECT_EQ(report["top"][0]["total"], "12.34");
    EXPECT_EQ(report["breaker"], (nlohmann::json{{"opened", 0}, {"state", "closed"}}));
    EXPECT_EQ(report["memory"], (nlohmann::json{{"limit_bytes", 1'048'576}, {"peak_bytes", 4'096}}));
    EXPECT_EQ(report["seconds"], 2.5);
    EXPECT_TRUE(report.contains("customers") && report.contains("retries"));
    EXPECT_FALSE(report.contains("lookup")) << "without --lookup";
}

TEST(ReportJson, SaysWhatLookUpsCameTo) {
    auto figures = some_figures();
    figures.lookup = LookupFigures{.database = "sqlite",
                                   .found = 6,
                                   .unknown = 1,
                                   .connections_opened = 8,
                                   .failed_connects = 2,
                                   .segments = {{.segment = "A\"1\xFF", .lines = 6, .total = 12'000}}};
    figures.lookup->guard.retries = 3;
    figures.lookup->guard.opened = 1;

    const auto lookup = nlohmann::json::parse(report_json(figures))["lookup"];

    EXPECT_EQ(lookup["database"], "sqlite");
    EXPECT_EQ(lookup["found"], 6);
    EXPECT_EQ(lookup["unknown"], 1);
    EXPECT_EQ(lookup["segments"][0]["lines"], 6);
    EXPECT_EQ(lookup["segments"][0]["total"], "12.00");
    EXPECT_EQ(lookup["retries"], 3);
    EXPECT_EQ(lookup["breaker"], (nlohmann::json{{"opened", 1}, {"state", "closed"}}));
    EXPECT_EQ(lookup["connections"], (nlohmann::json{{"opened", 8}, {"failed", 2}}));
}

TEST(ReportJson, OfAFailedRunSaysWhyAndCountsWhatWasRead) {
    auto figures = some_figures();
    figures.read = 12;
    figures.error = "no \"room\"";

    const auto report = nlohmann::json::parse(report_json(figures));

    EXPECT_EQ(report["error"], "no \"room\"");
    EXPECT_EQ(report["lines"], 12);
    EXPECT_EQ(figures.unfinished(), 2U);
    EXPECT_FALSE(nlohmann::json::parse(report_json(some_figures())).contains("error"));
}

TEST(Summary, SaysWhetherTheRunFailedAndWhatIsNotFinished) {
    auto failed = some_figures();
    failed.read = 12;
    failed.totals_acknowledged = 5;
    failed.error = "no room";

    EXPECT_THAT(summary(failed), testing::HasSubstr("(failed: what was done until then)\n  lines         12\n"));
    EXPECT_THAT(summary(failed), testing::HasSubstr("  not finished  4\n"));
    EXPECT_THAT(summary(failed), testing::HasSubstr("7, all acknowledged: NO, only 5\n"));
    EXPECT_THAT(summary(some_figures()), testing::HasSubstr("Orders per customer\n  lines         10\n"));
    EXPECT_THAT(summary(some_figures()), testing::Not(testing::HasSubstr("not finished")));
}

TEST(Summary, ShowsNamesThatNoTerminalTakesForCommands) {
    auto figures = some_figures();
    figures.top = {{"\x1b[2Jred\n", 1, 1'000}, {std::string(60'000, 'c'), 50'000, Thousandths{1} << 100}};

    EXPECT_THAT(summary(figures), testing::HasSubstr("\n  ?[2Jred?               1              1.00\n"));
    EXPECT_THAT(summary(figures),
                testing::HasSubstr("\n  ccccccccccc...    50 000 1 267 650 600 228 229 401 496 703 205.376\n"));
}

TEST(Grouped, PutsSpacesBetweenThousands) {
    EXPECT_EQ(grouped(0), "0");
    EXPECT_EQ(grouped(999), "999");
    EXPECT_EQ(grouped(541'909), "541 909");
    EXPECT_EQ(grouped(1'234'567), "1 234 567");
}

} // namespace
} // namespace orders
