// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "velostream/base/result.hpp"
#include "velostream/kafka/error.hpp"

namespace velostream::kafka {

/// What the brokers answered for one of the topics of a request. A code of 0 is success.
struct TopicAnswer {
    std::string_view topic;
    KafkaErrc code;
    std::string_view words;
};

/// Success, or the code of the first topic that failed, `mildest` only if none failed otherwise: a topic that is as
/// wanted already tells less than any other failure. The detail names every topic that failed.
Result<void> outcome_of(std::span<const TopicAnswer> answers, KafkaErrc mildest);

} // namespace velostream::kafka
