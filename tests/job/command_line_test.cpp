// SPDX-License-Identifier: Apache-2.0
#include "command_line.hpp"

#include <gtest/gtest.h>

namespace orders {
namespace {

class ReadCommandLine : public testing::Test {
  protected:
    CommandLine read(const std::vector<const char*>& arguments) { return read_command_line(arguments, options); }

    std::string size, name;
    bool loud = false;
    const std::vector<CommandOption> options{
        {"--size", "N", "how large", "S or L",
         [this](std::string_view text) { return (size = text) == "S" || size == "L"; }},
        {"--name", "TEXT", "who", "", [this](std::string_view text) { return !(name = text).empty(); }},
        {"--loud", "", "or not", "", [this](std::string_view) { return loud = true; }}};
};

TEST_F(ReadCommandLine, HandsValuesToTheirOptions) {
    const auto line = read({"--size", "L", "--loud", "--name=a=b"});

    EXPECT_EQ(line.problem, "");
    EXPECT_EQ(size, "L");
    EXPECT_EQ(name, "a=b");
    EXPECT_TRUE(loud);
    EXPECT_EQ(line.given, (std::set<std::string>{"--loud", "--name", "--size"}));
}

TEST_F(ReadCommandLine, NamesTheOptionTheValueAndWhatIsLegal) {
    EXPECT_EQ(read({"--size", "M"}).problem, "--size M: must be S or L");
    EXPECT_EQ(read({"--size"}).problem, "--size: needs a value, S or L");
    EXPECT_EQ(read({"--name", "--loud"}).problem, "--name: needs a value, TEXT");
    EXPECT_EQ(read({"--name="}).problem, "--name: needs a value, TEXT");
    EXPECT_EQ(read({"--loud=yes"}).problem, "--loud=yes: --loud takes no value");
    EXPECT_EQ(read({"--loud", "--loud"}).problem, "--loud: given more than once");
    EXPECT_EQ(read({"--si", "L"}).problem, "--si: no such option");
    EXPECT_EQ(read({"-5"}).problem, "-5: no such option");
}

TEST_F(ReadCommandLine, TakesAValueThatBeginsWithOneDash) {
    EXPECT_EQ(read({"--name", "-"}).problem, "");
    EXPECT_EQ(name, "-");
    EXPECT_EQ(read({"--size", "-1"}).problem, "--size -1: must be S or L");
}

TEST_F(ReadCommandLine, AskedForHelpItLooksAtNothingElse) {
    const auto line = read({"--bogus", "--help"});

    EXPECT_TRUE(line.wants_help);
    EXPECT_EQ(line.problem, "");
}

TEST_F(ReadCommandLine, HelpHasARowForEachOptionAndOneForWhatIsLegal) {
    const auto text = help_for(options);

    EXPECT_EQ(text,
              "  --size N                how large\n"
              "                          S or L\n"
              "  --name TEXT             who\n"
              "  --loud                  or not\n");
}

} // namespace
} // namespace orders
