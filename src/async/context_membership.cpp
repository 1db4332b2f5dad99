// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/context_membership.hpp"

#include <boost/asio/execution_context.hpp>
#include <boost/asio/strand.hpp>
#include <utility>

namespace velostream {

// Contexts shut their services down in the reverse order of creation. The scheduler and the service of strands are
// older than this one, so what is posted by the dropped handlers on their way out, or by another thread just before,
// still finds them, and is destroyed by them.
class ContextMembership::Service : public asio::execution_context::service {
  public:
    using key_type = Service;
    static inline asio::execution_context::id id;

    explicit Service(asio::execution_context& context) : service(context), members_(std::make_shared<Members>()) {}

    const std::shared_ptr<Members>& members() const noexcept { return members_; }

  private:
    void shutdown() override {
        std::list<std::shared_ptr<ContextMember>> leaving;
        {
            const std::lock_guard lock{members_->mutex};
            members_->shut_down = true;
            leaving.swap(members_->list);
        }
        // All of them first leave their queues: a dropped coroutine may hand its turn on, and must find none of them.
        std::erase_if(leaving, [](const auto& member) { return !member->detach(); });
        for (const auto& member : leaving) member->drop();
    }

    std::shared_ptr<Members> members_;
};

bool ContextMembership::join(const asio::any_io_executor& executor, std::shared_ptr<ContextMember> member) {
    auto& context = executor.context();
    if (!asio::has_service<Service>(context))
        static_cast<void>(asio::make_strand(executor)); // their service comes first
    auto members = asio::use_service<Service>(context).members();
    const std::lock_guard lock{members->mutex};
    if (members->shut_down) return false;
    place_ = members->list.insert(members->list.end(), std::move(member));
    members_ = std::move(members);
    return true;
}

void ContextMembership::leave() noexcept {
    const auto members = std::exchange(members_, nullptr);
    if (!members) return;
    std::shared_ptr<ContextMember> self; // released outside the lock
    const std::lock_guard lock{members->mutex};
    if (members->shut_down) return; // the list went with the context
    self = std::move(*place_);
    members->list.erase(place_);
}

} // namespace velostream
