// SPDX-License-Identifier: Apache-2.0
#include "velostream/sqlite/statement.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

namespace velostream::sqlite {
namespace {

using namespace std::string_literals;

static_assert(Parameter<int> && Parameter<std::uint32_t> && Parameter<bool> && Parameter<float> && Parameter<char[4]>);
static_assert(Parameter<std::optional<std::string>> && Parameter<std::nullptr_t> && Parameter<Value>);
static_assert(!Parameter<std::uint64_t>, "it may not fit");
static_assert(!Parameter<char>, "text or number?");
static_assert(!Parameter<void*>);

TEST(SqliteValue, IsOfTheTypeOfWhatItWasMadeOf) {
    EXPECT_EQ(Value{}.type(), ValueType::null);
    EXPECT_EQ(Value{nullptr}.type(), ValueType::null);
    EXPECT_EQ(Value{std::nullopt}.type(), ValueType::null);
    EXPECT_EQ(Value{static_cast<const char*>(nullptr)}.type(), ValueType::null);
    EXPECT_EQ(Value{true}.type(), ValueType::integer);
    EXPECT_EQ(Value{std::int8_t{1}}.type(), ValueType::integer);
    EXPECT_EQ(Value{1.0F}.type(), ValueType::real);
    EXPECT_EQ(Value{"text"}.type(), ValueType::text);
    EXPECT_EQ(Value{""}.type(), ValueType::text);
    EXPECT_EQ(Value{Blob{}}.type(), ValueType::blob);
    EXPECT_EQ(Value{std::span<const std::byte>{}}.type(), ValueType::blob);
}

TEST(SqliteValue, IsWhatAnOptionalHolds) {
    EXPECT_EQ(Value{std::optional<int>{}}, Value{});
    EXPECT_EQ(Value{std::optional<int>{7}}, Value{7});
    EXPECT_EQ(Value{std::optional<std::string>{""}}, Value{""});
}

TEST(SqliteValue, OwnsItsText) {
    auto text = "a \0 b"s;
    const Value value{std::string_view{text}};
    text.clear();
    EXPECT_EQ(std::get<std::string>(value.variant()), "a \0 b"s);
}

TEST(SqliteValue, KeepsEveryInteger) {
    using Limits = std::numeric_limits<std::int64_t>;
    EXPECT_EQ(std::get<std::int64_t>(Value{Limits::min()}.variant()), Limits::min());
    EXPECT_EQ(std::get<std::int64_t>(Value{std::numeric_limits<std::uint32_t>::max()}.variant()), 4'294'967'295);
}

TEST(SqliteValue, ParametersKeepTheirOrder) {
    Parameters parameters{1, "two", nullptr};
    parameters.add(4.0);
    ASSERT_EQ(parameters.size(), 4U);
    EXPECT_EQ(parameters[0], Value{1});
    EXPECT_EQ(parameters[1], Value{"two"});
    EXPECT_EQ(parameters[2], Value{});
    EXPECT_EQ(parameters[3], Value{4.0});
    const Parameters copy{parameters};
    EXPECT_EQ(copy.size(), 4U);
}

TEST(SqliteValue, AStatementHasItsParameters) {
    const Statement one{"SELECT ?", 1};
    const Statement other{"SELECT ?", Parameters{1}};
    for (const auto* statement : {&one, &other}) {
        EXPECT_EQ(statement->sql(), "SELECT ?");
        ASSERT_EQ(statement->parameters().size(), 1U);
        EXPECT_EQ(statement->parameters()[0], Value{1});
    }
    EXPECT_EQ(Statement{"SELECT 1"}.parameters().size(), 0U);
}

} // namespace
} // namespace velostream::sqlite
