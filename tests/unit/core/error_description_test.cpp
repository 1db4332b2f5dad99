// SPDX-License-Identifier: Apache-2.0
#include "core/error_description.hpp"

#include <gtest/gtest.h>

#include <exception>
#include <stdexcept>

#include "velostream/core/dead_letter_envelope.hpp"

namespace velostream::detail {
namespace {

template <class Throw>
Error error_of(Throw thrower) {
    try {
        thrower();
    } catch (...) {
        return Error::from_exception(std::current_exception());
    }
    return {};
}

TEST(ErrorDescription, NamesTheCodeOfAnErrorThatWasNotThrown) {
    const auto described = describe({Errc::send_timeout, "topic orders"});

    EXPECT_EQ(described.class_name, "velostream:60");
    EXPECT_EQ(described.message, "send timed out: topic orders");
    EXPECT_EQ(described.chain, "");
}

TEST(ErrorDescription, NamesTheTypeOfTheException) {
    const auto described = describe(error_of([] { throw std::out_of_range("no such column"); }));

    EXPECT_EQ(described.class_name, "std::out_of_range");
    EXPECT_EQ(described.message, "no such column");
    EXPECT_EQ(described.chain, "");
}

TEST(ErrorDescription, HasANullMessageForAnExceptionWithoutOne) {
    const auto described = describe(error_of([] { throw 42; }));

    EXPECT_EQ(described.class_name, "int");
    EXPECT_FALSE(described.message.has_value());
}

TEST(ErrorDescription, ExhaustedRetriesAreDescribedAsTheirLastError) {
    const auto last = error_of([] { throw std::runtime_error("refused"); });

    const auto described = describe(Error{Errc::retries_exhausted, "4 attempts"}.with_inner(last));

    EXPECT_EQ(described.class_name, "std::runtime_error");
    EXPECT_EQ(described.message, "refused");
    EXPECT_EQ(described.chain, R"([{"type":"velostream:21","message":"retries exhausted: 4 attempts"},)"
                               R"({"type":"std::runtime_error","message":"refused"}])");
}

TEST(ErrorDescription, ListsNestedExceptionsOutermostFirstByTheirOwnTypes) {
    const auto described = describe(error_of([] {
        try {
            throw std::invalid_argument("not a number");
        } catch (...) {
            std::throw_with_nested(std::runtime_error("line 7"));
        }
    }));

    EXPECT_EQ(described.class_name, "std::runtime_error");
    EXPECT_EQ(described.chain, R"([{"type":"std::runtime_error","message":"line 7"},)"
                               R"({"type":"std::invalid_argument","message":"not a number"}])");
}

TEST(ErrorDescription, ListsWhatTheUserAddedToAnException) {
    const auto error = error_of([] { throw std::runtime_error("refused"); }).with_detail("order 7");

    EXPECT_EQ(describe(error).chain, R"([{"type":"velostream:26","message":"operation failed: order 7"},)"
                                     R"({"type":"std::runtime_error","message":"refused"}])");
}

TEST(ErrorDescription, TheChainHasAtMostSixteenLinks) {
    Error error = Errc::broker_unreachable;
    for (int depth = 0; depth < 40; ++depth) error = Error{Errc::connect_failed}.with_inner(error);

    const auto chain = describe(error).chain;

    std::size_t links = 0;
    for (auto at = chain.find("\"type\""); at != std::string::npos; at = chain.find("\"type\"", at + 1)) ++links;
    EXPECT_EQ(links, dead_letter_limits::chain_links);
}

TEST(ErrorDescription, TheChainStaysJsonWhateverBytesAMessageHolds) {
    const auto error = Error{Errc::operation_failed, "a\"b\\c\n\xff\xc3\xa9\xe2\x82"}.with_inner(Errc::cancelled);

    EXPECT_EQ(describe(error).chain,
              "[{\"type\":\"velostream:26\",\"message\":\"operation failed: a\\\"b\\\\c\\u000a\\ufffd\xc3\xa9"
              "\\ufffd\\ufffd\"},{\"type\":\"velostream:27\",\"message\":\"cancelled\"}]");
}

TEST(ErrorDescription, LinksThatDoNotFitAreLeftOutWhole) {
    Error error = Errc::broker_unreachable;
    for (int depth = 0; depth < 10; ++depth)
        error = Error{Errc::connect_failed, std::string(2000, 'x')}.with_inner(error);

    const auto chain = describe(error).chain;

    EXPECT_LE(chain.size(), dead_letter_limits::chain);
    EXPECT_TRUE(chain.ends_with("\"}]"));
}

std::uint64_t fingerprint_of(const Error& error) {
    return fingerprint(error, describe(error));
}

TEST(Fingerprint, NumbersAndQuotedPartsOfTheMessageDoNotMatter) {
    const auto bad = boost::system::errc::make_error_code(boost::system::errc::invalid_argument);
    const auto first = fingerprint_of({bad, "Quantity: \"0\" in line 17"});

    EXPECT_EQ(first, fingerprint_of({bad, "Quantity: \"x 12\" in line 4"}));
    EXPECT_NE(first, fingerprint_of({bad, "UnitPrice: \"0\" in line 17"}));
}

TEST(Fingerprint, OtherCodesAreOtherCauses) {
    EXPECT_NE(fingerprint_of({Errc::send_timeout, "x"}), fingerprint_of({Errc::send_outcome_unknown, "x"}));
}

TEST(Cut, KeepsShortTextsAndCutsNoCharacterInTwo) {
    EXPECT_EQ(cut("short", 5), "short");
    EXPECT_EQ(cut("longer text", 8), "longe...");
    EXPECT_EQ(cut("ab\xc3\xa9xyz!", 6), "ab...") << "the two bytes of é would not both fit";
    EXPECT_EQ(cut("a\xc3\xa9xyz!!", 6), "a\xc3\xa9...");
}

} // namespace
} // namespace velostream::detail
