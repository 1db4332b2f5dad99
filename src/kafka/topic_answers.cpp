// SPDX-License-Identifier: Apache-2.0
#include "topic_answers.hpp"

#include <optional>
#include <string>

namespace velostream::kafka {

Result<void> outcome_of(std::span<const TopicAnswer> answers, KafkaErrc mildest) {
    std::optional<KafkaErrc> worst;
    std::string detail;
    for (const auto& [topic, code, words] : answers) {
        if (code == KafkaErrc{}) continue;
        if (!worst || *worst == mildest) worst = code;
        detail += detail.empty() ? "topic " : "; topic ";
        detail.append(topic).append(": ").append(words);
    }
    if (!worst) return {};
    return Error{make_error_code(*worst), detail};
}

} // namespace velostream::kafka
