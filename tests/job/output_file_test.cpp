// SPDX-License-Identifier: Apache-2.0
#include "program/output_file.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

namespace orders {
namespace {

namespace fs = std::filesystem;

class OutputFileTest : public testing::Test {
  protected:
    OutputFileTest() {
        auto name = (fs::temp_directory_path() / "output_file_XXXXXX").string();
        folder = ::mkdtemp(name.data());
    }
    ~OutputFileTest() override { fs::remove_all(folder); }

    std::string path(const std::string& name) const { return (folder / name).string(); }
    void put(const std::string& name, const std::string& text) const { std::ofstream{path(name)} << text; }
    std::string get(const std::string& name) const {
        std::ostringstream text;
        text << std::ifstream{path(name)}.rdbuf();
        return text.str();
    }
    std::size_t files() const {
        return static_cast<std::size_t>(std::distance(fs::directory_iterator{folder}, fs::directory_iterator{}));
    }

    fs::path folder;
};

TEST_F(OutputFileTest, DoesNotExistBeforeThereIsSomethingToPutIn) {
    OutputFile file{path("new")};

    EXPECT_TRUE(file.is_writable());
    EXPECT_EQ(files(), 0U);
    EXPECT_TRUE(file.replace_by("text"));
    EXPECT_EQ(get("new"), "text");
    EXPECT_EQ(files(), 1U);
}

TEST_F(OutputFileTest, AnOlderFileStaysUntilItIsReplacedAndKeepsItsPermissions) {
    put("old", "old and longer");
    fs::permissions(path("old"), fs::perms::owner_read | fs::perms::owner_write);
    OutputFile file{path("old")};
    EXPECT_EQ(get("old"), "old and longer");

    EXPECT_TRUE(file.replace_by("new"));

    EXPECT_EQ(get("old"), "new");
    EXPECT_EQ(fs::status(path("old")).permissions(), fs::perms::owner_read | fs::perms::owner_write);
    EXPECT_EQ(files(), 1U);
}

TEST_F(OutputFileTest, WhatCannotBeWrittenWholeLeavesTheOlderFileAndNoOther) {
    put("old", "old");
    OutputFile file{path("old")};
    const auto handler = ::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    const rlimit full{.rlim_cur = 1'000, .rlim_max = before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &full);

    const bool is_written = file.replace_by(std::string(2'000, 'x'));

    ::setrlimit(RLIMIT_FSIZE, &before);
    ::signal(SIGXFSZ, handler);
    EXPECT_FALSE(is_written);
    EXPECT_EQ(get("old"), "old");
    EXPECT_EQ(files(), 1U);
}

TEST_F(OutputFileTest, IsTheFileThatLinksWillLeadTo) {
    fs::create_symlink("second", path("first"));
    fs::create_symlink("target", path("second"));
    fs::create_symlink("loop", path("loop"));

    EXPECT_TRUE(OutputFile{path("first")}.is(path("target")));
    EXPECT_TRUE(OutputFile{path("target")}.is(path("first")));
    EXPECT_FALSE(OutputFile{path("first")}.is(path("other")));
    EXPECT_FALSE(OutputFile{path("loop")}.is(path("target")));
}

TEST_F(OutputFileTest, ALinkStaysALink) {
    fs::create_symlink("target", path("link"));
    OutputFile dangling{path("link")};
    EXPECT_TRUE(dangling.is_writable());
    EXPECT_FALSE(fs::exists(path("target")));

    EXPECT_TRUE(dangling.replace_by("1"));
    EXPECT_TRUE(dangling.replace_by("2"));

    EXPECT_TRUE(fs::is_symlink(path("link")));
    EXPECT_EQ(get("target"), "2");
}

TEST_F(OutputFileTest, WhatCannotBeWrittenIsKnownFromTheStart) {
    EXPECT_FALSE(OutputFile{path("no/such/folder")}.is_writable());
    EXPECT_FALSE(OutputFile{folder.string()}.is_writable());
    EXPECT_FALSE(OutputFile{path(std::string(300, 'x'))}.is_writable());
    EXPECT_TRUE(OutputFile{"/dev/null"}.is_writable());
    EXPECT_TRUE(OutputFile{std::nullopt}.is_writable());
}

TEST_F(OutputFileTest, ADeviceIsWrittenInPlace) {
    EXPECT_TRUE(OutputFile{"/dev/null"}.replace_by("text"));
    EXPECT_FALSE(OutputFile{"/dev/full"}.replace_by("text"));
    EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST_F(OutputFileTest, APipeIsNotOpenedJustToSee) {
    ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);

    EXPECT_TRUE(OutputFile{path("pipe")}.is_writable()); // would block until there is a reader
}

TEST_F(OutputFileTest, KnowsItselfUnderAnotherName) {
    put("old", "");
    fs::create_hard_link(path("old"), path("twin"));
    const OutputFile old{path("old")}, fresh{path("new")}, device{"/dev/null"};

    EXPECT_TRUE(old.is(path("twin")));
    EXPECT_TRUE(old.is(path("./old")));
    EXPECT_TRUE(fresh.is(path("./new")));
    EXPECT_FALSE(fresh.is(path("other")));
    EXPECT_FALSE(fresh.is(path("old")));
    EXPECT_FALSE(device.is("/dev/null"));
}

TEST_F(OutputFileTest, WithoutAPathNothingIsWritten) {
    OutputFile none{std::nullopt};

    EXPECT_EQ(none.begin(), nullptr);
    EXPECT_TRUE(none.replace_by("text"));
    EXPECT_TRUE(none.finish());
    EXPECT_FALSE(none.is(path("old")));
}

} // namespace
} // namespace orders
