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
    ~Service() override {
        if (!has_ended_)
            Service::shutdown(); // made while the context was ending, which shuts down only what was there before
    }

    const std::shared_ptr<Members>& members() const noexcept { return members_; }

  private:
    // All of them first leave their queues: a dropped coroutine may hand its turn on, and must find none of them.
    void shutdown() override {
        has_ended_ = true;
        members_->end([](ContextMember& member) { return member.detach(); },
                      [](ContextMember& member) { member.drop(); });
    }

    std::shared_ptr<Members> members_;
    bool has_ended_ = false;
};

bool ContextMembership::join(const asio::any_io_executor& executor, std::shared_ptr<ContextMember> member) {
    auto& context = executor.context();
    if (!asio::has_service<Service>(context)) // that of strands comes first
        static_cast<void>(asio::use_service<asio::detail::strand_executor_service>(context));
    auto members = asio::use_service<Service>(context).members();
    place_ = members->join(std::move(member));
    if (place_ == 0) return false;
    members_ = std::move(members);
    return true;
}

void ContextMembership::leave() noexcept {
    if (const auto members = std::exchange(members_, nullptr)) members->leave(place_);
}

} // namespace velostream
