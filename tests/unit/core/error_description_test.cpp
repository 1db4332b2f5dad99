// SPDX-License-Identifier: Apache-2.0
#include "core/error_description.hpp"

#include <gtest/gtest.h>

#include <boost/system/system_error.hpp>
#include <boost/throw_exception.hpp>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <system_error>

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

TEST(ErrorDescription, HowLongItWasTriedIsNoPartOfTheMessage) {
    const Error error{Errc::send_timeout, "topic orders"};

    EXPECT_EQ(describe(error.with_attempts(3).with_elapsed(std::chrono::seconds{4})).message, describe(error).message);
    EXPECT_EQ(describe(Error{error}.with_elapsed_longer_than(std::chrono::seconds{4})).message,
              describe(error).message);
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

TEST(ErrorDescription, SaysHowLongWhatWasCutHasBeen) {
    Error error = Errc::broker_unreachable;
    for (int depth = 0; depth < 10; ++depth)
        error = Error{Errc::connect_failed, std::string(2000, 'x')}.with_inner(error);

    const auto described = describe(error);

    EXPECT_GT(described.message_size, 20'000u);
    EXPECT_EQ(described.message->size(), dead_letter_limits::message);
    EXPECT_GT(described.chain_size, 10u * 1024);
    const auto small = describe(Error{Errc::connect_failed, "x"}.with_inner(Errc::broker_unreachable));
    EXPECT_EQ(small.message_size, small.message->size());
    EXPECT_EQ(small.chain_size, small.chain.size());
}

TEST(ErrorDescription, NamesWhatIsBehindIt) {
    EXPECT_EQ(describe(Errc::send_timeout).cause_class_name, "");
    EXPECT_EQ(describe(Error{Errc::send_timeout}.with_inner(Errc::broker_unreachable)).cause_class_name,
              "velostream:62");
    EXPECT_EQ(describe(error_of([] {
                  try {
                      throw std::invalid_argument("not a number");
                  } catch (...) {
                      std::throw_with_nested(std::runtime_error("line 7"));
                  }
              })).cause_class_name,
              "std::invalid_argument");
}

TEST(ErrorDescription, ChainsSayTheCodesThatExceptionsCarry) {
    const auto described = describe(error_of([] {
        try {
            try {
                throw boost::system::system_error(Errc::broker_unreachable, "a");
            } catch (...) {
                std::throw_with_nested(std::system_error(std::make_error_code(std::errc::io_error), "b"));
            }
        } catch (...) {
            std::throw_with_nested(std::runtime_error("c"));
        }
    }));

    EXPECT_EQ(described.chain,
              R"([{"type":"std::runtime_error","message":"c"},)"
              R"({"type":"std::system_error","message":"b: Input/output error","code":"generic:5"},)"
              R"({"type":"boost::system::system_error","message":"a: no broker reachable [velostream:62]",)"
              R"("code":"velostream:62"}])");
}

TEST(ErrorDescription, AnErrorThatWasThrownIsListedWithWhatIsBehindIt) {
    const auto refused = Error{Errc::send_timeout, "topic orders"}.with_inner(Errc::broker_unreachable);
    const auto expected = R"([{"type":"std::runtime_error","message":"line 7"},)"
                          R"({"type":"velostream:60","message":"send timed out: topic orders"},)"
                          R"({"type":"velostream:62","message":"no broker reachable"}])";

    EXPECT_EQ(describe(error_of([&] {
                  try {
                      throw ErrorException(refused);
                  } catch (...) {
                      std::throw_with_nested(std::runtime_error("line 7"));
                  }
              })).chain,
              expected);
}

TEST(ErrorDescription, WhatIsNestedInAThrownErrorIsListedBehindIt) {
    const auto described = describe(error_of([] {
        try {
            throw std::invalid_argument("not a number");
        } catch (...) {
            std::throw_with_nested(ErrorException(Error{Errc::send_timeout}.with_inner(Errc::broker_unreachable)));
        }
    }));

    EXPECT_EQ(described.class_name, "velostream:60");
    EXPECT_EQ(described.chain, R"([{"type":"velostream:60","message":"send timed out"},)"
                               R"({"type":"velostream:62","message":"no broker reachable"},)"
                               R"({"type":"std::invalid_argument","message":"not a number"}])");
}

struct OrderRejected : std::runtime_error, CarriesError {
    OrderRejected() : std::runtime_error("order 7") {}
    const Error& error() const noexcept override { return carried; }
    Error carried = Error{Errc::operation_failed}.with_inner(Errc::broker_unreachable);
};

TEST(ErrorDescription, AUsersExceptionThatCarriesAnErrorIsListedByItsOwnNameAndWithItsCode) {
    const auto described = describe(error_of([] {
        try {
            throw OrderRejected{};
        } catch (...) {
            std::throw_with_nested(std::runtime_error("line 7"));
        }
    }));

    EXPECT_EQ(described.cause_class_name, "velostream::detail::(anonymous namespace)::OrderRejected");
    EXPECT_TRUE(described.chain.ends_with(R"("message":"order 7","code":"velostream:26"},)"
                                          R"({"type":"velostream:62","message":"no broker reachable"}])"))
        << described.chain;
}

TEST(ErrorDescription, BoostsOwnWrapperOfAnExceptionIsNotShown) {
    EXPECT_EQ(describe(error_of([] { boost::throw_exception(std::out_of_range("x")); })).class_name,
              "std::out_of_range");
}

TEST(ErrorDescription, TheMessageIsValidUtf8) {
    EXPECT_EQ(describe(error_of([] { throw std::runtime_error("\xff\xc3\xa9\xe2\x82"); })).message,
              "\xEF\xBF\xBD\xc3\xa9\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(CutChain, KeepsWholeLinksFromTheOutermostOn) {
    const std::string a = R"({"type":"a","message":"},{\"type\":"})", b = R"({"type":"b","message":null})",
                      c = R"({"type":"c","message":null})";
    const auto chain = "[" + a + "," + b + "," + c + "]", two = "[" + a + "," + b + "]";

    EXPECT_EQ(cut_chain(chain, chain.size()), chain);
    EXPECT_EQ(cut_chain(chain, chain.size() - 1), two);
    EXPECT_EQ(cut_chain(chain, two.size()), two);
    EXPECT_EQ(cut_chain(chain, two.size() - 1), "") << "one link says no more than class and message";
    EXPECT_EQ(cut_chain(chain, 0), "");
}

std::uint64_t fingerprint_of(const Error& error) {
    const auto described = describe(error);
    return fingerprint(to_string(error.type()), described.class_name, described.message.value_or(""));
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

} // namespace
} // namespace velostream::detail
