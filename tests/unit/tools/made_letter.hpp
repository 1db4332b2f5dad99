// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "tools/dlq/letter.hpp"
#include "velostream/core/dead_letter_reader.hpp"
#include "velostream/kafka/record.hpp"

namespace velostream::dlq {

/// A dead letter as our own queue writes it, to be changed at will.
struct MadeLetter {
    MadeLetter() : record{"dead", "customer-7", "quantity: none"} {
        record.headers = {{"trace", "abc"},
                          {"__connect.errors.topic", "orders"},
                          {"__connect.errors.partition", "3"},
                          {"__connect.errors.offset", "42"},
                          {"__connect.errors.exception.class.name", "shop::NoQuantity"},
                          {"__connect.errors.exception.message", "no quantity in \"none\""},
                          {"x-dlq-version", "1"},
                          {"x-dlq-id", "orders/3/42/shop/"},
                          {"x-dlq-error-type", "bad_request"},
                          {"x-dlq-fingerprint", "00000000000000ff"}};
        record.timestamp = WallTime{std::chrono::milliseconds{1'700'000'000'000}}; // 2023-11-14T22:13:20Z
    }

    MadeLetter& with(const std::string& header, kafka::ByteString value) {
        const auto found = std::ranges::find(record.headers, header, &kafka::Header::name);
        if (found == record.headers.end())
            record.headers.emplace_back(header, std::move(value));
        else
            found->value = std::move(value); // where it stands says who wrote it
        return *this;
    }
    MadeLetter& without(const std::string& header) {
        std::erase_if(record.headers, [&header](const kafka::Header& each) { return each.name == header; });
        return *this;
    }
    MadeLetter& at(Place where) {
        place = where;
        return *this;
    }

    /// Valid while this lives and is not changed.
    Letter letter() const { return {place, record_view(record)}; }
    DeadLetterFacts facts() const { return read_dead_letter(letter().record); }

    kafka::Record record;
    Place place{0, 5};
};

} // namespace velostream::dlq
