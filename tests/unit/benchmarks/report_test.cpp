// SPDX-License-Identifier: Apache-2.0
//
// velostream_bench_report as its users meet it, beside programs that only pretend to measure.
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "figures/samples.hpp"
#include "process/temporary_folder.hpp"

using namespace velostream::bench;
using testing::HasSubstr;
using testing::Not;

namespace fs = std::filesystem;

namespace {

struct Outcome {
    int exit_code;
    std::string output; // both streams
};

class BenchReport : public testing::Test {
  protected:
    BenchReport() { fs::copy_file(VELOSTREAM_BENCH_REPORT, folder_.path() / "velostream_bench_report"); }

    /// A program that keeps its arguments in `<name>.arguments` and ends as `script` says.
    void add_program(const std::string& name, const std::string& script) {
        const auto path = folder_.path() / name;
        std::ofstream{path} << "#!/bin/sh\necho \"$@\" > \"$0.arguments\"\n" << script;
        fs::permissions(path, fs::perms::owner_all);
    }
    void add_program(const ProgramResult& result) {
        add_program(result.program, "for last; do :; done\ncat > \"$last\" << 'END'\n" + to_json(result) + "\nEND\n");
    }

    Outcome run(const std::string& options = "") const {
        const auto command = "'" + (folder_.path() / "velostream_bench_report").string() + "' " + options + " 2>&1";
        auto* const pipe = ::popen(command.c_str(), "r");
        std::string output;
        std::array<char, 4096> block{};
        while (const auto count = std::fread(block.data(), 1, block.size(), pipe)) output.append(block.data(), count);
        return {WEXITSTATUS(::pclose(pipe)), output};
    }

    std::string text_of(const std::string& name) const {
        std::ifstream file{folder_.path() / name};
        return {std::istreambuf_iterator<char>{file}, {}};
    }
    std::string path_of(const std::string& name) const { return (folder_.path() / name).string(); }

  private:
    TemporaryFolder folder_;
};

Samples samples(std::string name, int threads, double wall, double cpu) {
    return {.name = std::move(name), .threads = threads, .wall_ns = {wall}, .cpu_ns = {cpu}, .allocations = {0}};
}

const ProgramResult missed{
    .program = "pool_bench",
    .samples = {samples("floor/mutex_pair", 1, 10, 10), samples("pool/borrow_return", 1, 1000, 1000)}};

} // namespace

TEST_F(BenchReport, AMissedGoalIsAFigureAndNotAnError) {
    add_program(missed);

    const auto [exit_code, output] = run("--json " + path_of("out.json"));

    EXPECT_EQ(exit_code, 0) << output;
    EXPECT_THAT(output, HasSubstr("NO"));
    const auto rows = nlohmann::json::parse(text_of("out.json"));
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[1]["name"], "pool/borrow_return");
    EXPECT_EQ(rows[1]["floor"], "floor/mutex_pair");
    EXPECT_EQ(rows[1]["ratio"], 100);
    EXPECT_EQ(rows[1]["met"], false);
}

TEST_F(BenchReport, EveryProgramRunsWithTheOptionsThatAreItsBusiness) {
    add_program(missed);
    add_program({.program = "other_bench", .samples = {samples("other/x", 1, 1, 1)}});

    const auto [exit_code, output] = run("--filter 'x|pool' --smoke --repetitions 3");

    EXPECT_EQ(exit_code, 0) << output;
    EXPECT_THAT(output, HasSubstr("pool/borrow_return"));
    EXPECT_THAT(output, HasSubstr("other/x"));
    EXPECT_THAT(output, HasSubstr("figures mean nothing"));
    for (const auto* program : {"pool_bench", "other_bench"})
        EXPECT_THAT(text_of(std::string{program} + ".arguments"),
                    HasSubstr("--filter x|pool --repetitions 3 --smoke --samples "));
}

TEST_F(BenchReport, WhatARowHasToSayBesidesStandsUnderTheTable) {
    auto row = samples("pool/spike", 1, 10, 10);
    row.remark = "4 connects";
    add_program({.program = "pool_bench", .samples = {row}});

    const auto [exit_code, output] = run();

    EXPECT_EQ(exit_code, 0) << output;
    EXPECT_THAT(output, HasSubstr("\npool/spike: 4 connects\n"));
}

TEST_F(BenchReport, ProgramsAreToldWhereTheDatabaseIs) {
    add_program("database_bench", "echo \"$VELOSTREAM_TEST_DATABASE\" > \"$0.database\"\n");

    run("--database /some/folder");

    EXPECT_EQ(text_of("database_bench.database"), "/some/folder\n");
}

TEST_F(BenchReport, WhatIsLeftOutIsSaidWithItsReason) {
    add_program({.program = "job_bench", .left_out = {{.name = "job/orders_broker", .reason = "needs a cluster"}}});

    const auto [exit_code, output] = run("--json " + path_of("out.json"));

    EXPECT_EQ(exit_code, 0) << output;
    EXPECT_THAT(output, HasSubstr("left out: job/orders_broker: needs a cluster"));
    EXPECT_EQ(text_of("out.json"), "[]\n");
}

TEST_F(BenchReport, ABrokenProgramIsAnErrorAndTheOthersAreShownAllTheSame) {
    add_program("broken_bench", "exit 7\n");
    add_program("crashed_bench", "kill -SEGV $$\n");
    add_program("empty_bench", "");
    add_program(missed);

    const auto [exit_code, output] = run();

    EXPECT_EQ(exit_code, 1);
    EXPECT_THAT(output, HasSubstr("error: broken_bench failed with exit code 7"));
    EXPECT_THAT(output, HasSubstr("error: crashed_bench was ended by signal 11"));
    EXPECT_THAT(output, HasSubstr("error: empty_bench: not the result of a benchmark program"));
    EXPECT_THAT(output, HasSubstr("pool/borrow_return"));
}

TEST_F(BenchReport, WrongOptionsAreOneLineAndExitCodeTwo) {
    add_program(missed);
    add_program({.program = "empty_bench"});
    const auto expect_complaint = [this](const std::string& options, const std::string& complaint) {
        SCOPED_TRACE(options);
        const auto [exit_code, output] = run(options);
        EXPECT_EQ(exit_code, 2);
        EXPECT_THAT(output, HasSubstr(complaint));
        EXPECT_THAT(output, Not(HasSubstr("running")));
    };

    expect_complaint("--filter '('", "--filter: '(' is not a regular expression");
    expect_complaint("--json /nonexistent/out.json", "--json: cannot write /nonexistent/out.json");
    expect_complaint("--repetitions 0", "--repetitions");
    expect_complaint("--unknown", "--unknown");
    expect_complaint("stray", "stray");
}

TEST_F(BenchReport, AFilterThatMatchesNothingIsAWrongOption) {
    add_program({.program = "pool_bench"});

    const auto [exit_code, output] = run("--filter nothing");

    EXPECT_EQ(exit_code, 2);
    EXPECT_THAT(output, HasSubstr("--filter: no benchmark matches 'nothing'"));
}

TEST_F(BenchReport, AFolderWithoutProgramsIsAnError) {
    const auto [exit_code, output] = run();

    EXPECT_EQ(exit_code, 1);
    EXPECT_THAT(output, HasSubstr("no benchmark program"));
}
