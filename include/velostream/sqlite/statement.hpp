// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "velostream/sqlite/value.hpp"

namespace velostream::sqlite {

/// What can be a parameter.
template <class T>
concept Parameter = std::constructible_from<Value, const T&>;

/// Values for a statement's parameters, in the order of their numbers: copies, so that what they were made of may go.
class Parameters {
  public:
    Parameters() = default;
    template <Parameter... Values>
        requires(sizeof...(Values) > 0)
    explicit Parameters(const Values&... values) {
        values_.reserve(sizeof...(Values));
        (add(values), ...);
    }

    void add(Value value) { values_.push_back(std::move(value)); }

    std::size_t size() const noexcept { return values_.size(); }
    /// The one at `index`, below `size()`.
    const Value& operator[](std::size_t index) const noexcept { return values_[index]; }

  private:
    std::vector<Value> values_;
};

/// A statement of SQL with the values of its parameters.
class Statement {
  public:
    template <Parameter... Values>
    explicit Statement(std::string sql, const Values&... values) : sql_(std::move(sql)), parameters_(values...) {}
    Statement(std::string sql, Parameters parameters) : sql_(std::move(sql)), parameters_(std::move(parameters)) {}

    const std::string& sql() const noexcept { return sql_; }
    const Parameters& parameters() const noexcept { return parameters_; }

  private:
    std::string sql_;
    Parameters parameters_;
};

} // namespace velostream::sqlite
