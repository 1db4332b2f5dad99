// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution_context.hpp>
#include <list>
#include <mutex>

namespace velostream::kafka {

namespace asio = boost::asio;

/// Something that holds other people's completion handlers, and must drop them when their execution context is
/// destroyed: a coroutine that owns a client and waits for it would otherwise keep itself alive for ever.
///
/// Threads: joining and leaving are safe; the context is destroyed by one thread, as Asio asks.
class ContextMember {
  public:
    ContextMember(const ContextMember&) = delete;
    ContextMember& operator=(const ContextMember&) = delete;

  protected:
    ContextMember() = default;
    virtual ~ContextMember() { leave(); }

    void join(const asio::any_io_executor& executor);
    void leave() noexcept;

    /// Destroy handlers and Asio objects; call nobody.
    virtual void on_context_destroyed() noexcept = 0;

  private:
    class Service;
    Service* service_ = nullptr;
    std::list<ContextMember*>::iterator place_;
};

} // namespace velostream::kafka
