// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/letter_file.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "made_letter.hpp"
#include "velostream/core/spool_frame.hpp"

namespace velostream::dlq {
namespace {

namespace fs = std::filesystem;

class LetterFileTest : public testing::Test {
  protected:
    LetterFileTest() : folder_(fs::path{testing::TempDir()} / ("letter-file-" + unique())) {
        fs::create_directories(folder_);
    }
    ~LetterFileTest() override { fs::remove_all(folder_); }

    std::string path(const std::string& name = "letters") const { return (folder_ / name).string(); }
    static std::string content(const std::string& path) {
        std::ifstream file{path, std::ios::binary};
        return {std::istreambuf_iterator<char>{file}, {}};
    }
    std::string write(const std::string& bytes) const {
        std::ofstream{path(), std::ios::binary} << bytes;
        return path();
    }
    /// A file of so many letters, and what is in it.
    std::string exported(int count) const {
        auto file = LetterFileWriter::open(path()).value();
        for (int letter = 0; letter < count; ++letter) {
            MadeLetter made;
            made.record.value = std::to_string(letter);
            file.add(made.letter().record).value();
        }
        file.finish().value();
        return content(path());
    }
    std::size_t files() const {
        return static_cast<std::size_t>(std::distance(fs::directory_iterator{folder_}, fs::directory_iterator{}));
    }

  private:
    static std::string unique() {
        const auto* const test = testing::UnitTest::GetInstance()->current_test_info();
        return std::string{test->name()} + "-" + std::to_string(::getpid());
    }
    const fs::path folder_;
};

TEST_F(LetterFileTest, KeepsEveryByteOfALetter) {
    MadeLetter made;
    made.record.key.reset();
    made.record.value = "";
    made.record.headers = {{"a", "1"}, {"a", std::nullopt}, {"", ""}, {"a", "2"}};
    auto view = made.letter().record;
    view.partition = 3;
    view.offset = 7;
    view.timestamp_type = TimestampType::log_append_time;
    auto file = LetterFileWriter::open(path()).value();
    file.add(view).value();
    file.finish().value();

    auto reader = LetterFileReader::open(path()).value();
    const auto payload = reader.next().value();
    ASSERT_TRUE(payload);
    const auto letter = SpooledRecord::decoded(*payload);

    ASSERT_TRUE(letter);
    const auto& record = letter->record();
    EXPECT_EQ(record.topic, "dead");
    EXPECT_EQ(record.partition, 3);
    EXPECT_EQ(record.offset, 7);
    EXPECT_EQ(record.key, std::nullopt);
    EXPECT_EQ(record.value, NullableBytes{""});
    EXPECT_EQ(record.timestamp, made.record.timestamp);
    EXPECT_EQ(record.timestamp_type, TimestampType::log_append_time);
    ASSERT_EQ(record.headers.size(), 4U);
    for (std::size_t at = 0; at < 4; ++at) EXPECT_EQ(record.headers[at], view.headers[at]) << at;
    EXPECT_FALSE(reader.next().value());
}

TEST_F(LetterFileTest, LettersComeInTheirOrderAndAreCounted) {
    exported(3);

    auto reader = LetterFileReader::open(path()).value();
    for (const auto* value : {"0", "1", "2"})
        EXPECT_EQ(SpooledRecord::decoded(*reader.next().value())->record().value, NullableBytes{value});
    EXPECT_FALSE(reader.next().value());
    EXPECT_EQ(reader.count(), 3U);
    EXPECT_EQ(checked_letters(path()).value(), 3U);
}

TEST_F(LetterFileTest, AFileWithoutLettersIsOne) {
    exported(0);

    EXPECT_EQ(checked_letters(path()).value(), 0U);
}

TEST_F(LetterFileTest, UntilItIsFinishedWhatWasThereBeforeStays) {
    write("older");
    {
        auto file = LetterFileWriter::open(path()).value();
        file.add(MadeLetter{}.letter().record).value();
        EXPECT_EQ(content(path()), "older");
    }

    EXPECT_EQ(content(path()), "older");
    EXPECT_EQ(files(), 1U); // nothing is left behind
}

TEST_F(LetterFileTest, OnlyItsOwnerMayReadIt) {
    exported(1);

    EXPECT_EQ(fs::status(path()).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(LetterFileTest, AFileThatALinkLeadsToIsReplacedAsAnyOther) {
    const auto target = path("target");
    std::ofstream{target} << "older";
    fs::create_symlink("target", path());
    {
        auto file = LetterFileWriter::open(path()).value();
        file.add(MadeLetter{}.letter().record).value();
        EXPECT_EQ(content(target), "older");
    }
    EXPECT_EQ(content(target), "older");

    exported(1);

    EXPECT_TRUE(fs::is_symlink(path()));
    EXPECT_EQ(checked_letters(target).value(), 1U);
    EXPECT_EQ(fs::status(target).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(LetterFileTest, IsNotWrittenIntoWhatSomebodyElseLaidInItsWay) {
    const auto part = path() + ".part-" + std::to_string(::getpid());
    std::ofstream{path("stolen")} << "before";
    fs::create_symlink("stolen", part);

    exported(1);

    EXPECT_EQ(content(path("stolen")), "before");
    EXPECT_EQ(checked_letters(path()).value(), 1U);
    EXPECT_EQ(fs::symlink_status(path()).type(), fs::file_type::regular);
}

TEST_F(LetterFileTest, LeavesNothingBehindWhenTheProgramIsInterrupted) {
    const auto folder = fs::path{path()}.parent_path();
    const auto write_and_end_by = [this](int signal) {
        auto file = LetterFileWriter::open(path()).value();
        file.add(MadeLetter{}.letter().record).value();
        ::raise(signal);
    };
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        EXPECT_EXIT(write_and_end_by(signal), testing::KilledBySignal(signal), "");
        EXPECT_TRUE(fs::is_empty(folder)) << signal;
    }
}

TEST_F(LetterFileTest, AFileThatWasCutAnywhereSaysSo) {
    const auto whole = exported(2);

    for (std::size_t size = 0; size < whole.size(); ++size) {
        write(whole.substr(0, size));
        const auto checked = checked_letters(path());
        ASSERT_FALSE(checked) << size << " of " << whole.size() << " bytes";
        EXPECT_NE(checked.error().detail().find(path()), std::string_view::npos);
    }
}

TEST_F(LetterFileTest, AFlippedBitInAnyByteIsFound) {
    const auto whole = exported(2);

    for (std::size_t byte = 0; byte < whole.size(); ++byte) {
        auto flipped = whole;
        flipped[byte] = static_cast<char>(flipped[byte] ^ (1 << (byte % 8)));
        write(flipped);
        ASSERT_FALSE(checked_letters(path())) << "byte " << byte;
    }
}

TEST_F(LetterFileTest, WhatFollowsTheEndOrIsNoLetterIsRefused) {
    const auto whole = exported(1);
    write(whole + "x");
    EXPECT_FALSE(checked_letters(path()));

    std::string file{spool_format::file_header};
    spool_format::append_frame(file, 1, "no letter");
    spool_format::append_frame(file, 2, "");
    write(file);
    EXPECT_FALSE(checked_letters(path()));
}

TEST_F(LetterFileTest, WhatCannotBeOpenedIsNamed) {
    const auto reader = LetterFileReader::open(path("none"));
    ASSERT_FALSE(reader);
    EXPECT_NE(reader.error().detail().find(path("none")), std::string_view::npos);
    const auto writer = LetterFileWriter::open(path("none/letters"));
    ASSERT_FALSE(writer);
    EXPECT_NE(writer.error().detail().find(path("none/letters")), std::string_view::npos);
}

TEST_F(LetterFileTest, ALetterMayBeLargerThanWhatIsReadAtOnce) {
    MadeLetter made;
    made.record.value = std::string(40'000'000, 'v');
    auto file = LetterFileWriter::open(path()).value();
    file.add(made.letter().record).value();
    file.add(MadeLetter{}.letter().record).value();
    file.finish().value();

    EXPECT_EQ(checked_letters(path()).value(), 2U);
}

} // namespace
} // namespace velostream::dlq
