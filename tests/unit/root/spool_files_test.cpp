// SPDX-License-Identifier: Apache-2.0
#include "spool_files.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/system/errc.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/temporary_folder.hpp"

namespace velostream {
namespace {

namespace errc = boost::system::errc;

class SpoolFilesTest : public ::testing::Test {
  protected:
    static unsigned mode_of(const std::filesystem::path& path) {
        struct stat status{};
        return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 0777 : 0;
    }

    const TemporaryFolder temporary;
    const std::filesystem::path root = temporary.path(), folder = root / "deep" / "spool";
};

TEST_F(SpoolFilesTest, WritesAndReadsFilesForItsOwnerOnly) {
    const auto files = open_spool_folder(folder);
    ASSERT_TRUE(files) << files.error();

    const auto file = (*files)->create("a");
    ASSERT_TRUE(file);
    EXPECT_EQ((*file)->write("hello").value(), 5u);
    EXPECT_EQ((*file)->write(" world").value(), 6u);
    EXPECT_TRUE((*file)->sync());
    EXPECT_TRUE((*files)->sync());
    EXPECT_EQ((*file)->size().value(), 11u);
    EXPECT_EQ((*file)->read(6, 100).value(), "world");
    EXPECT_EQ((*file)->read(2, 3).value(), "llo");
    EXPECT_EQ((*file)->read(50, 3).value(), "");
    EXPECT_TRUE((*file)->truncate(5));
    EXPECT_EQ((*file)->write("!").value(), 1u);
    EXPECT_EQ((*file)->read(0, 100).value(), "hello!");

    EXPECT_EQ(mode_of(folder), 0700u);
    EXPECT_EQ(mode_of(folder / "a"), 0600u);
}

TEST_F(SpoolFilesTest, CreatesNothingThatIsThereAndFollowsNoLink) {
    const auto files = open_spool_folder(folder);
    ASSERT_TRUE(files);
    ASSERT_TRUE((*files)->create("a"));
    std::filesystem::create_symlink(root / "elsewhere", folder / "link");

    const auto again = (*files)->create("a");
    EXPECT_EQ(again.error(), errc::make_error_condition(errc::file_exists));
    EXPECT_EQ(again.error().detail(), "create " + (folder / "a").string());
    EXPECT_FALSE((*files)->create("link"));
    EXPECT_FALSE((*files)->open("link"));
    EXPECT_FALSE((*files)->open("none"));
    EXPECT_FALSE(std::filesystem::exists(root / "elsewhere"));
}

TEST_F(SpoolFilesTest, ListsRenamesAndRemoves) {
    const auto files = open_spool_folder(folder);
    ASSERT_TRUE(files);
    for (const auto* name : {"a", "b"}) ASSERT_TRUE((*files)->create(name));
    ASSERT_TRUE((*files)->rename("a", "c"));
    ASSERT_TRUE((*files)->remove("b"));

    EXPECT_EQ((*files)->names().value(), std::vector<std::string>{"c"}) << "the lock is none of them";
    EXPECT_FALSE((*files)->remove("b"));
    EXPECT_FALSE((*files)->rename("b", "d"));
}

TEST_F(SpoolFilesTest, BelongsToOneAtATime) {
    auto files = open_spool_folder(folder);
    ASSERT_TRUE(files);

    const auto second = open_spool_folder(folder);
    EXPECT_EQ(second.error(), errc::make_error_condition(errc::device_or_resource_busy));
    EXPECT_EQ(second.error().detail(),
              "the spool " + folder.string() + " belongs to process " + std::to_string(::getpid()));

    files->reset();
    EXPECT_TRUE(open_spool_folder(folder)) << "it goes with whoever had it";
}

TEST_F(SpoolFilesTest, SaysWhatIsNoFolder) {
    std::filesystem::create_directories(folder.parent_path());
    std::ofstream{folder} << "a file";

    const auto files = open_spool_folder(folder);

    EXPECT_EQ(files.error(), errc::make_error_condition(errc::not_a_directory));
    EXPECT_EQ(files.error().detail(), "open " + folder.string());
}

TEST_F(SpoolFilesTest, KnowsTheSpaceOfItsFileSystem) {
    const auto files = open_spool_folder(folder);
    ASSERT_TRUE(files);
    const auto space = (*files)->space();

    ASSERT_TRUE(space);
    EXPECT_GT(space->total, space->free);
    EXPECT_EQ(space->total, std::filesystem::space(folder).capacity);
}

} // namespace
} // namespace velostream
