// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>

#include "velostream/async/context_members.hpp"

namespace velostream {

namespace asio = boost::asio;

/// A completion handler that waits outside of the execution context it belongs to, such as a waiter in a queue of ours.
///
/// A context destroys what waits inside of it when it ends, but it knows nothing of a queue elsewhere: a handler that
/// outlived its context would touch it later. So whatever waits elsewhere joins its context, and is told to let go.
class ContextMember : public std::enable_shared_from_this<ContextMember> {
  public:
    ContextMember() = default;
    ContextMember(const ContextMember&) = delete;
    ContextMember& operator=(const ContextMember&) = delete;
    virtual ~ContextMember() = default;

  private:
    friend class ContextMembership;

    /// Leaves the place where it waits, so that nobody else completes it. False if somebody did so already.
    virtual bool detach() noexcept = 0;
    /// Destroys the handler and everything else that refers to the context. Called after `detach` answered true.
    virtual void drop() noexcept = 0;
};

/// A member's place in its context, from `join` to `leave`.
///
/// Threads:  one member's calls must not overlap; different members are independent, and none waits for another.
///           `detach` and `drop` are called by the thread that destroys the context.
/// Lifetime: a membership that is destroyed has left.
class ContextMembership {
  public:
    ContextMembership() = default;
    ContextMembership(const ContextMembership&) = delete;
    ContextMembership& operator=(const ContextMembership&) = delete;
    ~ContextMembership() { leave(); }

    /// From now on `member` is told when `executor`'s context shuts down. False if it is shutting down already: then
    /// the member must not wait.
    bool join(const asio::any_io_executor& executor, std::shared_ptr<ContextMember> member);

    /// The member needs not be told any more.
    void leave() noexcept;

  private:
    class Service;
    using Members = ContextMembers<ContextAtomics, ContextMember>;

    std::shared_ptr<Members> members_; // null while not joined
    Members::Index place_ = 0;
};

} // namespace velostream
