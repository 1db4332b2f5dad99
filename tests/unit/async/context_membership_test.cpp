// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/context_membership.hpp"

#include <gtest/gtest.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <memory>
#include <utility>

namespace velostream {
namespace {

struct Member final : ContextMember {
    explicit Member(const asio::any_io_executor& its_executor) : executor(its_executor) {}

    bool join() { return has_joined = membership.join(executor, shared_from_this()); }
    bool detach() noexcept override { return is_detached = true; }
    void drop() noexcept override {
        is_dropped = true;
        executor = {};
    }

    asio::any_io_executor executor;
    bool has_joined = false, is_detached = false, is_dropped = false;
    ContextMembership membership;
};

/// Joins when it is destroyed, as something in a handler that its context destroys.
class JoinsAtItsEnd {
  public:
    explicit JoinsAtItsEnd(std::shared_ptr<Member> member) : member_(std::move(member)) {}
    JoinsAtItsEnd(JoinsAtItsEnd&&) = default;
    JoinsAtItsEnd& operator=(JoinsAtItsEnd&&) = delete;
    ~JoinsAtItsEnd() {
        if (member_) member_->join();
    }

  private:
    std::shared_ptr<Member> member_;
};

TEST(ContextMembership, AMemberIsToldWhenItsContextEnds) {
    std::shared_ptr<Member> member;
    {
        asio::io_context io;
        member = std::make_shared<Member>(io.get_executor());
        ASSERT_TRUE(member->join());
    }

    EXPECT_TRUE(member->is_detached);
    EXPECT_TRUE(member->is_dropped);
}

TEST(ContextMembership, WhoHasLeftIsNotTold) {
    std::shared_ptr<Member> member;
    {
        asio::io_context io;
        member = std::make_shared<Member>(io.get_executor());
        ASSERT_TRUE(member->join());
        member->membership.leave();
    }

    EXPECT_FALSE(member->is_detached || member->is_dropped);
}

TEST(ContextMembership, WhoComesWhileItsContextEndsMustNotWait) {
    std::shared_ptr<Member> first, member;
    {
        asio::io_context io;
        first = std::make_shared<Member>(io.get_executor());
        ASSERT_TRUE(first->join());
        member = std::make_shared<Member>(io.get_executor());
        asio::post(io, [late = JoinsAtItsEnd{member}] {});
    }

    EXPECT_FALSE(member->has_joined);
}

TEST(ContextMembership, TheFirstToComeWhileItsContextEndsIsToldToo) {
    std::shared_ptr<Member> member;
    {
        asio::io_context io;
        member = std::make_shared<Member>(io.get_executor());
        asio::post(io, [late = JoinsAtItsEnd{member}] {});
    }

    EXPECT_TRUE(!member->has_joined || member->is_dropped) << "it would go on into a context that is gone";
}

} // namespace
} // namespace velostream
