// SPDX-License-Identifier: Apache-2.0
#include "order_line.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace orders {
namespace {

std::string verdict(std::string_view line) {
    const auto order = parse_order(line);
    if (order) return order->customer + " " + to_string(order->amount);
    return std::string{order.error().detail()};
}

TEST(ParseOrder, MultipliesQuantityAndPriceExactly) {
    EXPECT_EQ(verdict("536365,85123A,HOLDER,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom"), "17850 15.30");
    EXPECT_EQ(verdict("C536379,D,Discount,-1,2010-12-01 09:41:00,27.50,14527.0,United Kingdom"), "14527 -27.50");
    EXPECT_EQ(verdict("1,2,\"SET 7, \"\"BOXES\"\"\",3,x,0.001,A-7 ,EIRE"), "A-7 0.003");
}

TEST(ParseOrder, NamesTheFirstBadColumnAndItsValue) {
    EXPECT_EQ(verdict("1,2,3,abc,5,0,,8"), "CustomerID is \"\": must not be empty");
    EXPECT_EQ(verdict("1,2,3,abc,5,0,7,8"), "Quantity is \"abc\": must be a whole number other than 0, within 64 bits");
    EXPECT_EQ(verdict("1,2,3,0,5,1,7,8"), "Quantity is \"0\": must be a whole number other than 0, within 64 bits");
    EXPECT_EQ(verdict("1,2,3,4.0,5,1,7,8"), "Quantity is \"4.0\": must be a whole number other than 0, within 64 bits");
    EXPECT_EQ(verdict("1,2,3,4,5,0,7,8"), "UnitPrice is \"0\": must be a number above 0, below 9223372036854775.808");
    EXPECT_EQ(verdict("1,2,3,4,5,-2,7,8"), "UnitPrice is \"-2\": must be a number above 0, below 9223372036854775.808");
    EXPECT_EQ(verdict("1,2,3"), R"(line is "1,2,3": must have 8 fields, not 3)");
    EXPECT_EQ(verdict("1,2,3,4,5,6,7,8,9"), R"(line is "1,2,3,4,5,6,7,8,9": must have 8 fields, not 9)");
}

TEST(ParseOrder, TakesACustomerThatIsNotEmptyAsItStandsThere) {
    EXPECT_EQ(verdict("1,2,3,4,5,1,.0,8"), " 4.00");
    EXPECT_EQ(verdict("1,2,3,4,5,1,\" \",8"), "CustomerID is \" \": must not be empty");
}

TEST(ParseOrder, RefusesACustomerThatFitsIntoNoRecord) {
    const auto line = [](const std::string& customer) { return "1,2,3,abc,5,0," + customer + ",8"; };
    const std::string longest(longest_customer, 'c');

    EXPECT_THAT(verdict(line(longest)), testing::StartsWith("Quantity"));
    EXPECT_THAT(verdict(line(longest + ".0")), testing::StartsWith("Quantity"));
    EXPECT_EQ(verdict(line(longest + "c")),
              "CustomerID is \"" + longest.substr(0, 1'000) + "...\": must not be longer than 65536 bytes");
}

TEST(ParseOrder, AFaultIsABadRequestThatBlamesTheRecord) {
    const auto order = parse_order("1,2,3,4,5,0,7,8");
    ASSERT_FALSE(order);
    EXPECT_EQ(order.error().type(), velostream::ErrorType::bad_request);
    EXPECT_TRUE(order.error().blames_record());
    EXPECT_EQ(fault_of(order.error()), OrderFault::unit_price);
    EXPECT_EQ(fault_of(velostream::Errc::circuit_open), std::nullopt);
}

TEST(CustomerOf, IsTheKeyOfTheLineOrEmpty) {
    EXPECT_EQ(customer_of("1,2,3,4,5,6, 17850.0 ,8"), "17850");
    EXPECT_EQ(customer_of("1,2,3,4,5,6,,8"), "");
    EXPECT_EQ(customer_of("1,2"), "");
    EXPECT_EQ(customer_of("1,2,3,4,5,6," + std::string(longest_customer, 'c') + ",8").size(), longest_customer);
    EXPECT_EQ(customer_of("1,2,3,4,5,6," + std::string(longest_customer + 1, 'c') + ",8"), "");
}

TEST(AtLine, NamesTheLineAsPeopleCount) {
    EXPECT_EQ(at_line(6, velostream::Errc::circuit_open).detail(), "order line 7");
    EXPECT_EQ(at_line(6, {velostream::Errc::circuit_open, "why"}).detail(), "order line 7, why");
}

} // namespace
} // namespace orders
