// SPDX-License-Identifier: Apache-2.0
#include "event_signal.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <boost/asio/execution.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/require.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

namespace velostream::kafka {

namespace {

class Eventfd {
  public:
    // A blocking one would stop the library's threads when nobody reads.
    Eventfd() : number_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
        if (number_ < 0) throw std::system_error{errno, std::system_category(), "eventfd"};
    }
    Eventfd(const Eventfd&) = delete;
    Eventfd& operator=(const Eventfd&) = delete;
    ~Eventfd() { ::close(number_); }

    int number() const noexcept { return number_; }
    void write_one() const noexcept { static_cast<void>(!::write(number_, &one, sizeof one)); }
    void read() const noexcept {
        std::uint64_t count = 0;
        static_cast<void>(!::read(number_, &count, sizeof count));
    }

    static constexpr std::uint64_t one = 1;

  private:
    const int number_;
};

// Runs a completion on the thread of the context that has found it: by way of no strand, which may be held up, and of
// no executor that may have no memory for it.
class ReactorExecutor {
  public:
    explicit ReactorExecutor(asio::execution_context& context) noexcept : context_(&context) {}

    asio::execution_context& query(asio::execution::context_t) const noexcept { return *context_; }
    // Boost 1.82 asks for it, and posts what is over at once by way of the context: a wait never ends where it begins.
    ReactorExecutor require(asio::execution::blocking_t::never_t) const noexcept { return *this; }
    template <class Completion>
    void execute(Completion&& completion) const {
        std::forward<Completion>(completion)();
    }
    bool operator==(const ReactorExecutor&) const = default;

  private:
    asio::execution_context* context_;
};
static_assert(asio::can_require_v<ReactorExecutor, asio::execution::blocking_t::never_t>);
using Descriptor = asio::posix::basic_stream_descriptor<ReactorExecutor>;

} // namespace

// What the signals of a context share. It lives as long as one of them, its descriptor at most as long as the context.
class EventSignal::Hub : public std::enable_shared_from_this<Hub> {
  public:
    // The descriptor first: its context may need some of its own.
    explicit Hub(asio::execution_context& context) : descriptor_(std::in_place, ReactorExecutor{context}) {
        descriptor_->assign(eventfd_.number());
    }
    Hub(const Hub&) = delete;
    Hub& operator=(const Hub&) = delete;
    ~Hub() { close(); }

    void connect(Connection& connection) noexcept {
        {
            const std::lock_guard lock{mutex_};
            connection.next_ = std::exchange(connection.signal_->connections_, &connection);
        }
        rd_kafka_queue_io_event_enable(connection.queue_, eventfd_.number(), &Eventfd::one, sizeof Eventfd::one);
        // For what came before, such as the refused connections of an outage: with it in the queue no later event is
        // the first.
        eventfd_.write_one();
    }

    void disconnect(Connection& connection) noexcept {
        rd_kafka_queue_io_event_enable(connection.queue_, -1, nullptr, 0);
        const std::lock_guard lock{mutex_};
        if (!connection.signal_) return;
        auto** link = &connection.signal_->connections_;
        while (*link != &connection) link = &(*link)->next_;
        *link = connection.next_;
    }

    void listen(EventSignal& signal) {
        const std::lock_guard lock{mutex_};
        if (!descriptor_) return;
        if (signal.has_something()) return locked_ring(signal);
        if (!is_waiting_) locked_wait();
        locked_add(signal);
    }

    void rest(EventSignal& signal) noexcept {
        const std::lock_guard lock{mutex_};
        locked_rest(signal);
    }

    // Also if it does not listen: another thread may not be through with it.
    void leave(EventSignal& signal) noexcept {
        const std::lock_guard lock{mutex_};
        locked_rest(signal);
        for (auto* connection = signal.connections_; connection; connection = connection->next_)
            connection->signal_ = nullptr;
    }

    // The context ends. The eventfd stays, since queues may write to it until they are disconnected.
    void close() noexcept {
        const std::lock_guard lock{mutex_};
        if (descriptor_) descriptor_->release();
        descriptor_.reset();
    }

  private:
    void locked_rest(EventSignal& signal) noexcept {
        if (signal.state_ != State::listening) return;
        locked_remove(signal);
        signal.state_ = State::resting;
        boost::system::error_code ignored;
        if (!first_ && descriptor_) descriptor_->cancel(ignored);
    }

    void locked_add(EventSignal& signal) noexcept {
        signal.state_ = State::listening;
        signal.previous_ = nullptr;
        signal.next_ = first_;
        if (first_) first_->previous_ = &signal;
        first_ = &signal;
    }

    void locked_remove(EventSignal& signal) noexcept {
        (signal.previous_ ? signal.previous_->next_ : first_) = signal.next_;
        if (signal.next_) signal.next_->previous_ = signal.previous_;
    }

    // Later, on its own executor: what it does and throws is nobody else's business. Where there is no memory for it,
    // nothing has changed.
    static void locked_ring(EventSignal& signal) {
        const auto before = signal.state_.exchange(State::ringing); // now, since it may come before the post returns
        try {
            asio::post(signal.executor_, [self = signal.self_] {
                if (*self) (*self)->ring();
            });
        } catch (...) {
            signal.state_ = before;
            throw;
        }
    }

    void locked_wait() {
        descriptor_->async_wait(Descriptor::wait_read,
                                [weak = weak_from_this()](const boost::system::error_code& code) {
                                    if (const auto self = weak.lock()) self->on_readable(!code);
                                });
        is_waiting_ = true;
    }

    void on_readable(bool is_readable) {
        const std::lock_guard lock{mutex_};
        is_waiting_ = false;
        if (!descriptor_) return;
        try {
            if (is_readable) locked_ring_who_has_something();
        } catch (...) { // who was not rung for want of memory is looked at again in the context's next turn
            eventfd_.write_one();
            locked_wait_on();
            throw;
        }
        locked_wait_on();
    }

    // Where there is no memory for that, nobody listens any longer: each one's next try finds what it has missed.
    void locked_wait_on() {
        try {
            if (first_) locked_wait();
        } catch (...) {
            while (first_) locked_rest(*first_);
            throw;
        }
    }

    void locked_ring_who_has_something() {
        eventfd_.read(); // first: what comes from now on makes it readable again
        for (auto* next = first_; next;) {
            auto& signal = *std::exchange(next, next->next_);
            if (!signal.has_something()) continue;
            locked_ring(signal);
            locked_remove(signal);
        }
    }

    std::mutex mutex_;                     // guards what follows, and what the signals say of theirs
    std::optional<Descriptor> descriptor_; // empty once the context has ended
    const Eventfd eventfd_;
    bool is_waiting_ = false;
    EventSignal* first_ = nullptr; // of those that listen
};

class EventSignal::Service : public asio::execution_context::service {
  public:
    using key_type = Service;
    static inline asio::execution_context::id id;

    explicit Service(asio::execution_context& context) : service(context) {}

    static std::shared_ptr<Hub> hub_of(asio::execution_context& context) {
        try {
            auto& service = asio::use_service<Service>(context);
            const std::lock_guard lock{service.mutex_};
            auto hub = service.hub_.lock();
            if (!hub) service.hub_ = hub = std::make_shared<Hub>(context);
            return hub;
        } catch (const boost::system::system_error& problem) {
            throw std::system_error{std::error_code{problem.code()}, "a descriptor's service"};
        }
    }

  private:
    void shutdown() override {
        if (const auto hub = hub_.lock()) hub->close();
    }

    std::mutex mutex_;
    std::weak_ptr<Hub> hub_;
};

EventSignal::Connection::Connection(EventSignal& signal, rd_kafka_queue_t* queue) noexcept
    : hub_(signal.hub_), queue_(queue), signal_(&signal) {
    hub_->connect(*this);
}

EventSignal::Connection::~Connection() {
    hub_->disconnect(*this);
}

EventSignal::EventSignal(const asio::any_io_executor& executor, Owner& owner)
    : owner_(owner),
      executor_(executor),
      hub_(Service::hub_of(executor.context())),
      self_(std::make_shared<EventSignal*>(this)) {}

EventSignal::~EventSignal() {
    hub_->leave(*this);
    *self_ = nullptr;
}

void EventSignal::begin_to_listen() {
    hub_->listen(*this);
}

void EventSignal::stop_listening() noexcept {
    hub_->rest(*this);
}

// With the hub's mutex. A queue that has become empty, by whatever means, writes with its next event.
bool EventSignal::has_something() const noexcept {
    for (const auto* connection = connections_; connection; connection = connection->next_)
        if (rd_kafka_queue_length(connection->queue_) > 0) return true;
    return false;
}

void EventSignal::ring() {
    state_ = State::resting;
    owner_.on_events(); // may end this
}

} // namespace velostream::kafka
