// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "velostream/async/context_membership.hpp"

namespace velostream {

/// The executor of a component that may outlive the execution context, for as long as that context is there.
///
/// Threads: safe.
class ContextTie {
  public:
    explicit ContextTie(asio::any_io_executor executor) : member_(std::make_shared<Member>()) {
        member_->executor = std::move(executor);
        if (!member_->membership.join(member_->executor, member_)) member_->executor = {};
    }
    ContextTie(const ContextTie&) = delete;
    ContextTie& operator=(const ContextTie&) = delete;
    ~ContextTie() {
        member_->detach();
        member_->membership.leave();
    }

    /// Calls `use(executor)` and answers true, unless the context has ended. It cannot end meanwhile, so `use` must
    /// run no user code: it posts, or sets a timer.
    template <class Use>
    bool with_executor(Use use) {
        const std::scoped_lock lock{member_->mutex};
        if (!member_->executor) return false;
        use(std::as_const(member_->executor));
        return true;
    }

    /// The same, unless another thread is in such a call, which answers false, too: for those who may wait for nobody.
    template <class Use>
    bool try_with_executor(Use use) {
        const std::unique_lock lock{member_->mutex, std::try_to_lock};
        if (!lock || !member_->executor) return false;
        use(std::as_const(member_->executor));
        return true;
    }

    /// A copy of the executor; nothing once the context has ended. Only where that cannot end meanwhile, as in what it
    /// runs.
    std::optional<asio::any_io_executor> executor() {
        const std::scoped_lock lock{member_->mutex};
        return member_->executor ? std::optional{member_->executor} : std::nullopt;
    }

  private:
    struct Member final : ContextMember {
        // Under the lock: who ends the context waits for an owner that ends at the same time.
        bool detach() noexcept override {
            const std::scoped_lock lock{mutex};
            const bool was_tied = static_cast<bool>(executor);
            executor = {};
            return was_tied;
        }
        void drop() noexcept override {} // it has let go already

        ContextMembership membership;
        std::mutex mutex;
        asio::any_io_executor executor; // guarded by mutex; empty once the context has ended
    };

    std::shared_ptr<Member> member_;
};

} // namespace velostream
