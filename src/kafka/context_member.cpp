// SPDX-License-Identifier: Apache-2.0
#include "context_member.hpp"

#include <boost/asio/execution/context.hpp>
#include <boost/asio/query.hpp>

namespace velostream::kafka {

class ContextMember::Service final : public asio::execution_context::service {
  public:
    static inline asio::execution_context::id id;

    explicit Service(asio::execution_context& context) : service(context) {}

    void add(ContextMember& member) {
        const std::lock_guard lock{mutex_};
        member.place_ = members_.insert(members_.end(), &member);
        member.service_ = this;
    }

    void remove(ContextMember& member) noexcept {
        const std::lock_guard lock{mutex_};
        members_.erase(member.place_);
        member.service_ = nullptr;
    }

  private:
    void shutdown() noexcept override {
        // A member that drops its handlers may destroy others.
        while (auto* member = take()) member->on_context_destroyed();
    }

    ContextMember* take() noexcept {
        const std::lock_guard lock{mutex_};
        if (members_.empty()) return nullptr;
        auto* member = members_.front();
        members_.pop_front();
        member->service_ = nullptr;
        return member;
    }

    std::mutex mutex_;
    std::list<ContextMember*> members_;
};

void ContextMember::join(const asio::any_io_executor& executor) {
    asio::use_service<Service>(asio::query(executor, asio::execution::context)).add(*this);
}

void ContextMember::leave() noexcept {
    if (service_) service_->remove(*this);
}

} // namespace velostream::kafka
