// SPDX-License-Identifier: Apache-2.0
// What the headers of a dead letter say, whoever wrote it, and the record as it was before.
#include <array>
#include <iostream>
#include <span>
#include <string_view>

#include "velostream/core/dead_letter_reader.hpp"

using namespace std::string_view_literals;
using velostream::HeaderView, velostream::RecordView;

void show(const RecordView& letter) {
    const auto facts = velostream::read_dead_letter(letter);
    std::cout << to_string(facts.family) << ": " << facts.topic << '/' << facts.partition << '/' << facts.offset << ": "
              << facts.error_class << ": " << facts.message.value_or("") << '\n';
}

// Gives `send` the record as it was before it failed, with one more in its `x-dlq-redrive-count`.
template <class Send>
bool redrive(const RecordView& letter, Send send) {
    const auto facts = velostream::read_dead_letter(letter);
    if (facts.redrives >= 3 || facts.topic.empty()) return false; // somebody should look at it
    const auto again = velostream::restored(letter);
    if (!again) return false; // it was written without the record
    send(again->record());
    return true;
}

int main() {
    const std::array headers{HeaderView{"tenant", "7"},
                             HeaderView{"kafka_dlt-exception-fqcn", "java.lang.IllegalStateException"},
                             HeaderView{"kafka_dlt-exception-message", "no stock"},
                             HeaderView{"kafka_dlt-original-topic", "orders"},
                             HeaderView{"kafka_dlt-original-partition", "\0\0\0\3"sv},
                             HeaderView{"kafka_dlt-original-offset", "\0\0\0\0\0\0\0\x29"sv}};
    const RecordView letter{.topic = "orders-dlt",
                            .partition = 3,
                            .offset = 7,
                            .key = "17850",
                            .value = "6 lamps",
                            .headers = std::span<const HeaderView>{headers}};
    show(letter);
    const bool sent = redrive(letter, [](const RecordView& record) {
        std::cout << "to " << record.topic << ": " << record.key.value_or("") << " = " << record.value.value_or("")
                  << '\n';
        for (const auto& [name, value] : record.headers)
            std::cout << "  " << name << ": " << value.value_or("") << '\n';
    });
    return sent ? 0 : 1;
}
