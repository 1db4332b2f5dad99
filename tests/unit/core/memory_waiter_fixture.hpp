// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "velostream/core/memory_waiter.hpp"

namespace velostream {

/// A request that writes down how it ended.
class Request final : public MemoryWaiter {
  public:
    Request(MemoryAccount account, Bytes bytes, std::vector<std::string>* order = nullptr, std::string name = {})
        : MemoryWaiter(std::move(account), bytes), order_(order), name_(std::move(name)) {}

    bool is_granted() const { return result_ && result_->has_value(); }
    bool is_waiting() const { return !result_; }
    Error error() const { return result_->error(); }
    void give_back() { result_.reset(); }

    std::optional<Result<MemoryReservation>> result_;

  private:
    void on_end(Result<MemoryReservation> result) noexcept override {
        result_.emplace(std::move(result));
        if (order_) order_->push_back(name_);
    }

    std::vector<std::string>* order_;
    std::string name_;
};

inline std::shared_ptr<Request> ask(const MemoryAccount& account, Bytes bytes,
                                    std::vector<std::string>* order = nullptr, std::string name = {}) {
    auto request = std::make_shared<Request>(account, bytes, order, std::move(name));
    request->result_ = request->try_now();
    if (!request->result_) MemoryWaiter::wait(request);
    return request;
}

} // namespace velostream
