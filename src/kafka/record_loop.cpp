// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/detail/record_loop.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <stdexcept>
#include <string>

#include "consumer_core.hpp"
#include "record_recovery.hpp"

namespace velostream::kafka::detail {

namespace {

Error never_fits(const ConsumedRecord& record, Bytes handler_bytes, const Error& refusal) {
    auto text = "record " + std::string{record.topic()} + '[' + std::to_string(record.partition()) + "]@" +
                std::to_string(record.offset()) + " needs " + std::to_string(record.size_bytes() + handler_bytes) +
                " bytes";
    if (handler_bytes > 0) text += ", " + std::to_string(handler_bytes) + " of them for its handler";
    return refusal.with_detail(text.append("; ").append(refusal.detail()));
}

// One that waits to be handled again, as long as this lives.
class HeldRecord {
  public:
    explicit HeldRecord(ConsumerCore& core) : core_(core) { core_.on_held(); }
    HeldRecord(const HeldRecord&) = delete;
    HeldRecord& operator=(const HeldRecord&) = delete;
    ~HeldRecord() { core_.on_held_no_more(); }

  private:
    ConsumerCore& core_;
};

class Resting {
  public:
    Resting(RecordLoop::Worker& worker, asio::steady_timer& timer) noexcept : worker_(worker) { worker_.rest = &timer; }
    Resting(const Resting&) = delete;
    Resting& operator=(const Resting&) = delete;
    ~Resting() { worker_.rest = nullptr; }

  private:
    RecordLoop::Worker& worker_;
};

} // namespace

// What the context has of a loop: no share in it, only a way to end the waiting of workers that wait inside of it.
class RecordLoop::Member final : public ContextMember {
  public:
    explicit Member(std::weak_ptr<RecordLoop> loop) noexcept : loop_(std::move(loop)) {}

  private:
    bool detach() noexcept override {
        const auto loop = loop_.lock();
        if (loop) loop->forget_idle_workers();
        return loop != nullptr;
    }
    void drop() noexcept override {
        if (const auto loop = loop_.lock()) loop->destroy_idle_workers();
    }

    const std::weak_ptr<RecordLoop> loop_;
};

std::shared_ptr<RecordLoop> open_record_loop(const std::shared_ptr<ConsumerCore>& core, ForEachOptions options,
                                             RecordGate* gate) {
    auto loop = std::make_shared<RecordLoop>(core, std::move(options), gate);
    loop->open();
    return loop;
}

RecordLoop::RecordLoop(std::shared_ptr<ConsumerCore> core, ForEachOptions options, RecordGate* gate)
    : core_(std::move(core)),
      gate_(gate),
      executor_(core_->executor()),
      memory_(std::move(options.memory)),
      handler_bytes_(options.handler_bytes) {
    if (options.max_in_flight == 0) throw std::invalid_argument{"max_in_flight = 0: must be ≥ 1"};
    if (options.gate) recovery_ = std::make_unique<RecordRecovery>(options.gate, options.max_in_flight, executor_);
    for (std::size_t i = 0; i < options.max_in_flight; ++i) {
        workers_.push_back(std::make_unique<Worker>());
        workers_.back()->index = i;
    }
    running_ = workers_.size();
    idle_.reserve(running_);
    // Last: no destructor would detach what has thrown after that.
    if (!core_->attach(*this)) throw std::invalid_argument{"for_each: this consumer is in a loop already"};
}

RecordLoop::~RecordLoop() {
    core_->detach(*this);
}

// A membership of its own: a consumer that ends leaves its context, and may have calls in progress here.
void RecordLoop::open() {
    if (recovery_) recovery_->serves(weak_from_this());
    is_over_ = core_->is_stopped() || !membership_.join(executor_, std::make_shared<Member>(weak_from_this()));
}

std::optional<RecordLoop::Held> RecordLoop::take() {
    if (is_over_ || is_blocked_) return std::nullopt;
    if (turn_left_ == 0) { // let others have the thread
        core_->serve_later();
        return std::nullopt;
    }
    const auto* const next = core_->front();
    if (auto failure = core_->take_failure()) {
        end(std::move(failure));
        return std::nullopt;
    }
    if (!next) return std::nullopt;
    if (gate_ && !gate_->admits(*next)) {
        is_blocked_ = true;
        return std::nullopt;
    }
    if (recovery_ && !recovery_->admits()) {
        is_blocked_ = true;
        return std::nullopt;
    }
    const auto bytes = next->size_bytes() + handler_bytes_;
    auto room = memory_.try_reserve(bytes);
    if (!room) {
        if (const auto lowest = memory_.lowest_limit(); lowest && bytes > *lowest) {
            end(never_fits(*next, handler_bytes_, room.error()));
        } else if (held_ == 0) {
            core_->serve_when_memory_may_be_free();
        }
        is_blocked_ = true;
        return std::nullopt;
    }
    --turn_left_;
    ++held_;
    Held held{core_->take_front(), std::move(*room), ++started_};
    if (gate_) gate_->on_started(held.record);
    if (recovery_) recovery_->on_started();
    return held;
}

void RecordLoop::on_idle(Worker& worker) {
    idle_.push_back(&worker);
    if (is_over_) start_workers_later();
}

void RecordLoop::serve() {
    const auto keep = shared_from_this(); // the last worker may end
    turn_left_ = records_per_turn;
    is_blocked_ = false;
    start_workers();
    if (auto failure = is_over_ ? std::nullopt : core_->take_failure()) end(std::move(failure));
}

// Resumes workers directly: each handles its record again, or takes the next, or goes idle again because there is none.
void RecordLoop::start_workers() {
    if (is_serving_) return;
    const auto keep = shared_from_this();
    is_serving_ = true;
    while (auto* const worker = next_worker()) worker->idle.complete(executor_, When::now);
    is_serving_ = false;
}

RecordLoop::Worker* RecordLoop::next_worker() {
    if (recovery_)
        if (auto* const held = recovery_->next(is_over_)) return held;
    if (idle_.empty() || !(is_over_ || (turn_left_ > 0 && !is_blocked_ && core_->front()))) return nullptr;
    auto* const worker = idle_.back();
    idle_.pop_back();
    return worker;
}

// The loop may end at each of these waits.
asio::awaitable<RecordLoop::Failed> RecordLoop::judge(Worker& worker, const Held& held, Error error,
                                                      std::size_t tries) {
    if (!RecordRecovery::holds(error)) co_return Failed::ends_loop;
    if (gate_ && !gate_->admits_again(held.record, error, worker.has_written)) co_return Failed::left;
    const HeldRecord waits{*core_};
    const auto rest = recovery_->hold(error, tries);
    if (rest > Duration{0} && !is_over_) {
        auto resting = this->rest(worker, rest);
        co_await std::move(resting);
    }
    auto turn = async_turn(worker, held.number, asio::use_awaitable);
    co_await std::move(turn);
    co_return is_over_ ? Failed::left : Failed::again;
}

// Up to the end of the loop, at most.
asio::awaitable<void> RecordLoop::rest(Worker& worker, Duration length) {
    asio::steady_timer timer{executor_, length};
    const Resting resting{worker, timer};
    boost::system::error_code interrupted;
    auto over = timer.async_wait(asio::redirect_error(asio::use_awaitable, interrupted));
    co_await std::move(over);
}

void RecordLoop::on_turn_wanted(Worker& worker, std::uint64_t number) {
    recovery_->wait_for_turn(number, worker);
    start_workers_later();
}

void RecordLoop::on_circuit_ready() {
    recovery_->on_ready();
    serve();
}

void RecordLoop::look_again_soon() {
    core_->serve_when_memory_may_be_free();
}

void RecordLoop::on_handled(Held& held, const Result<void>& result) {
    if (!gate_ && result) core_->done(held.record);
    release(held, result.has_value(), result ? std::nullopt : std::optional{result.error()});
}

void RecordLoop::on_left(Held& held) {
    release(held, false, std::nullopt);
}

void RecordLoop::release(Held& held, bool is_done, std::optional<Error> failure) {
    --held_;
    held.memory.release();
    if (recovery_) recovery_->on_ended(is_done);
    if (failure) end(std::move(failure));
    if (gate_) gate_->on_ended(held.record, is_done);
    if (std::exchange(is_blocked_, false) || recovery_) start_workers();
}

void RecordLoop::on_worker_ended(const std::exception_ptr& thrown) {
    if (thrown) end(Error::from_exception(thrown));
    if (--running_ == 0 && end_) complete_end();
}

void RecordLoop::end(std::optional<Error> error) {
    if (error && !error_) error_ = std::move(error);
    if (std::exchange(is_over_, true)) return;
    if (recovery_) recovery_->stop_watching();
    for (const auto& worker : workers_)
        if (worker->rest) worker->rest->cancel();
    start_workers_later();
}

void RecordLoop::start_workers_later() {
    asio::post(executor_, [self = shared_from_this()] { self->start_workers(); });
}

void RecordLoop::watch_end() {
    if (auto slot = end_.slot(); slot.is_connected())
        slot.assign([weak = weak_from_this()](asio::cancellation_type) {
            if (const auto self = weak.lock()) self->abandon(Errc::cancelled);
        });
    if (running_ == 0) complete_end();
}

void RecordLoop::complete_end() {
    end_.complete(executor_, When::later, error_ ? Result<void>{*error_} : Result<void>{});
}

void RecordLoop::abandon(Error error) {
    end(std::move(error));
    for (const auto& worker : workers_) worker->cancel.emit(asio::cancellation_type::terminal);
}

void RecordLoop::forget_idle_workers() noexcept {
    is_over_ = true;
    idle_.clear();
    if (recovery_) recovery_->forget_all();
}

void RecordLoop::destroy_idle_workers() noexcept {
    for (const auto& worker : workers_) worker->idle.reset();
}

} // namespace velostream::kafka::detail
