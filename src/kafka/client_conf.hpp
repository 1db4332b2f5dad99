// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <librdkafka/rdkafka.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "velostream/base/units.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/kafka/properties.hpp"

namespace velostream::kafka {

/// The settings of one client, and every problem found while they were made.
class ClientConf {
  public:
    struct Destroy {
        void operator()(rd_kafka_conf_t* conf) const noexcept { rd_kafka_conf_destroy(conf); }
    };
    using Owner = std::unique_ptr<rd_kafka_conf_t, Destroy>;

    ClientConf(const std::string& bootstrap_servers, const std::string& client_id);

    /// A problem quotes the value only of a property that the client library has and that is no secret.
    void set(const char* name, const std::string& value);
    void set(const char* name, std::int64_t value) { set(name, std::to_string(value)); }
    /// In milliseconds, rounded up.
    void set(const char* name, Duration value);

    /// The user's properties; those in `reserved` are refused.
    void set(const Properties& properties, std::initializer_list<std::string_view> reserved);

    void check(bool is_legal, std::string field, std::string value, std::string legal);

    rd_kafka_conf_t* get() const noexcept { return conf_.get(); }
    const std::vector<ConfigProblem>& problems() const noexcept { return problems_; }

    /// A running client. Throws `std::invalid_argument` if there are problems, or if the client library finds the
    /// settings contradictory. The conf is used up.
    rd_kafka_t* open(rd_kafka_type_t type);

  private:
    Owner conf_{rd_kafka_conf_new()};
    std::vector<ConfigProblem> problems_;
};

/// `250 ms`
std::string in_milliseconds(Duration duration);

} // namespace velostream::kafka
