// SPDX-License-Identifier: Apache-2.0
#include "send_operation.hpp"

#include "producer_core.hpp"

namespace velostream::kafka::detail {

SendOperation::SendOperation(ProducerCore& owner)
    : Deadline([](Deadline& deadline) {
          auto& self = static_cast<SendOperation&>(deadline);
          self.core.expire(self);
      }),
      core(owner) {}

void SendCancellation::operator()(asio::cancellation_type) {
    auto* const operation = operation_;
    forget();
    if (operation) operation->core.cancel(*operation);
}

void SendQueue::push_back(SendOperation& operation) noexcept {
    operation.previous = last_;
    operation.next = nullptr;
    (last_ ? last_->next : first_) = &operation;
    last_ = &operation;
    ++size_;
}

void SendQueue::push_front(SendOperation& operation) noexcept {
    operation.previous = nullptr;
    operation.next = first_;
    (first_ ? first_->previous : last_) = &operation;
    first_ = &operation;
    ++size_;
}

void SendQueue::erase(SendOperation& operation) noexcept {
    (operation.previous ? operation.previous->next : first_) = operation.next;
    (operation.next ? operation.next->previous : last_) = operation.previous;
    --size_;
}

} // namespace velostream::kafka::detail
