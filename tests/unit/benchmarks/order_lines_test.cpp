// SPDX-License-Identifier: Apache-2.0
#include "orders/order_lines.hpp"

#include <array>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "process/temporary_folder.hpp"

using namespace velostream::bare;

namespace {

std::vector<std::string> lines_of(const std::string& content) {
    const velostream::bench::TemporaryFolder folder;
    const auto path = (folder.path() / "orders.csv").string();
    std::ofstream{path, std::ios::binary} << content;
    LineFile file{path};
    std::vector<std::string> lines;
    std::string_view line;
    while (file.next(line)) lines.emplace_back(line);
    return lines;
}

const std::string header = std::string{header_line} + "\n";

std::string amount(std::int64_t thousandths) {
    std::array<char, 32> text{};
    return {text.data(), write_amount(text.data(), thousandths)};
}

struct Judged {
    std::string line;
    Fault fault;
    std::string faulty_value;
};

} // namespace

TEST(BareOrderLines, LinesComeWithoutTheirEndsAndEmptyOnesNotAtAll) {
    EXPECT_EQ(lines_of(header + "a,b\r\n\n\nc\nlast"), (std::vector<std::string>{"a,b", "c", "last"}));
    EXPECT_EQ(lines_of(header), std::vector<std::string>{});
}

TEST(BareOrderLines, AQuotedFieldMayHoldLineEnds) {
    EXPECT_EQ(lines_of(header + "a,\"b\nc\n\",d\ne\n"), (std::vector<std::string>{"a,\"b\nc\n\",d", "e"}));
}

TEST(BareOrderLines, AFileLargerThanItsBufferIsReadWhole) {
    std::string content = header;
    for (int i = 0; i < 100'000; ++i) content += "line " + std::to_string(i) + "\n";

    const auto lines = lines_of(content);

    ASSERT_EQ(lines.size(), 100'000U);
    for (std::size_t i = 0; i < lines.size(); ++i) ASSERT_EQ(lines[i], "line " + std::to_string(i));
}

TEST(BareOrderLines, AnotherFirstLineOrNoFileIsAnError) {
    EXPECT_THROW(lines_of("a,b,c\n"), std::runtime_error);
    EXPECT_THROW(LineFile{"/nonexistent/orders.csv"}, std::runtime_error);
}

TEST(BareOrderLines, AValidLineGivesCustomerAndAmount) {
    const auto plain = parse_order("536365,85123A,LANTERN,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom");
    EXPECT_EQ(plain.fault, Fault::none);
    EXPECT_EQ(plain.customer, "17850");
    EXPECT_EQ(plain.thousandths, 15'300);

    const auto quoted = parse_order(R"(C1,2,"LANTERN, ""RED""",-3,2010-12-01,.125,"17850",UK)");
    EXPECT_EQ(quoted.fault, Fault::none);
    EXPECT_EQ(quoted.customer, "17850");
    EXPECT_EQ(quoted.thousandths, -375);
}

TEST(BareOrderLines, TheFirstBadColumnIsTheFault) {
    const std::vector<Judged> cases{{"a,b,c", Fault::line, "a,b,c"},
                                    {"1,2,3,x,5,0,,8", Fault::customer_id, ""},
                                    {"1,2,3,x,5,0, ,8", Fault::customer_id, " "},
                                    {"1,2,3,0,5,0,7,8", Fault::quantity, "0"},
                                    {"1,2,3,1.5,5,0,7,8", Fault::quantity, "1.5"},
                                    {"1,2,3,1,5,0.00,7,8", Fault::unit_price, "0.00"},
                                    {"1,2,3,1,5,-1,7,8", Fault::unit_price, "-1"},
                                    {"1,2,3,1,5,.,7,8", Fault::unit_price, "."}};
    for (const auto& [line, fault, value] : cases) {
        SCOPED_TRACE(line);
        const auto order = parse_order(line);
        EXPECT_EQ(order.fault, fault);
        EXPECT_EQ(order.faulty_value, value);
    }
}

TEST(BareOrderLines, TheCustomerOfALineIsItsKey) {
    EXPECT_EQ(customer_of("1,2,3,0,5,0, 17850.0 ,8"), "17850");
    EXPECT_EQ(customer_of("1,2,3,0,5,0,,8"), "");
    EXPECT_EQ(customer_of("too,short"), "");
}

TEST(BareOrderLines, AmountsHaveTwoDecimalsOrThree) {
    EXPECT_EQ(amount(0), "0.00");
    EXPECT_EQ(amount(15'300), "15.30");
    EXPECT_EQ(amount(12'345), "12.345");
    EXPECT_EQ(amount(-375), "-0.375");
    EXPECT_EQ(amount(-1'050), "-1.05");
}
