// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/record_view.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace shop {

struct Order {
    std::string customer;
    std::string line;
    std::vector<std::pair<std::string, std::string>> notes;
};

velostream::RecordView record_view(const Order& order) {
    const auto note = [](const auto& notes, std::size_t index) {
        return velostream::HeaderView{notes[index].first, notes[index].second};
    };
    return {.topic = "orders",
            .key = order.customer,
            .value = order.line,
            .headers = velostream::HeadersView{order.notes, order.notes.size(), note}};
}

} // namespace shop

namespace velostream {
namespace {

TEST(RecordView, ATypeOfTheUsersOwnIsViewedByItsFunction) {
    static_assert(ViewableRecord<shop::Order>);
    const shop::Order order{"17850", "6 lamps", {{"source", "shop"}, {"source", "web"}}};

    const auto view = record_view(order);

    EXPECT_EQ(view.key, "17850");
    EXPECT_EQ(view.value, "6 lamps");
    ASSERT_EQ(view.headers.size(), 2u);
    EXPECT_EQ(view.headers[0], (HeaderView{"source", "shop"}));
    EXPECT_EQ(view.headers[1], (HeaderView{"source", "web"}));
    EXPECT_EQ(view.value->data(), order.line.data());
}

TEST(RecordView, ATypeWithoutTheFunctionIsNoRecord) {
    static_assert(!ViewableRecord<int>);
    static_assert(ViewableRecord<RecordView>);
}

TEST(RecordView, NullAndEmptyDiffer) {
    const RecordView tombstone{.topic = "orders", .key = "17850", .value = std::nullopt};
    const RecordView empty{.topic = "orders", .key = "17850", .value = ""};

    EXPECT_FALSE(tombstone.value.has_value());
    EXPECT_TRUE(empty.value.has_value());
    EXPECT_NE(tombstone.value, empty.value);
}

TEST(RecordView, NothingIsKnownUnlessItIsSaid) {
    const RecordView view{.topic = "orders"};

    EXPECT_EQ(view.partition, -1);
    EXPECT_EQ(view.offset, -1);
    EXPECT_FALSE(view.timestamp);
    EXPECT_EQ(view.timestamp_type, TimestampType::not_available);
    EXPECT_TRUE(view.headers.empty());
}

TEST(HeadersView, IteratesInOrderWithDuplicatesAndNullValues) {
    const std::array headers{HeaderView{"a", "1"}, HeaderView{"b", std::nullopt}, HeaderView{"a", ""}};
    const HeadersView view{headers};

    std::vector<HeaderView> seen;
    for (const auto& header : view) seen.push_back(header);

    EXPECT_EQ(seen, (std::vector{headers[0], headers[1], headers[2]}));
}

TEST(TimestampType, HasKafkasWords) {
    EXPECT_EQ(to_string(TimestampType::create_time), "CreateTime");
    EXPECT_EQ(to_string(TimestampType::log_append_time), "LogAppendTime");
    EXPECT_EQ(to_string(TimestampType::not_available), "NoTimestampType");
}

} // namespace
} // namespace velostream
