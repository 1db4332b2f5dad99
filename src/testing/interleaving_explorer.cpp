// SPDX-License-Identifier: Apache-2.0
#include "velostream/testing/interleaving_explorer.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <type_traits>
#include <utility>

#include "testing/explored_memory.hpp"
#include "testing/fiber.hpp"
#include "testing/visited_states.hpp"

namespace velostream::testing {

namespace {

constexpr std::size_t most_threads = 8;
constexpr std::size_t unscheduled = ~std::size_t{0}; // of a location that is no part of a scenario

std::string_view name_of(detail::AtomicAccess access) noexcept {
    constexpr std::array<std::string_view, 7> names{"load", "store", "exchange", "add", "or", "and", "cas"};
    return names[static_cast<std::size_t>(access)];
}

} // namespace

/// One execution after the other, each following `path_` as far as it goes and making first choices from there. An
/// execution is left in the middle when it comes to a state that was seen before, or when a check fails.
class InterleavingExplorer {
  public:
    using Location = detail::ScheduledLocation;
    using Request = detail::AtomicRequest;
    using Answer = detail::AtomicAnswer;

    InterleavingExplorer(const std::function<void(Interleaving&)>& scenario, const Exploration& exploration)
        : scenario_(scenario), exploration_(exploration), memory_(exploration.memory) {}

    ExplorationReport explore();

    static thread_local InterleavingExplorer* active;

    std::size_t add(Location& location);
    bool schedules(std::size_t number) const noexcept { return is_running_ && number < locations_.size(); }
    Answer access(Location& location, const Request& request);
    /// Of the thread that runs; nothing outside of threads.
    void step();
    /// A hash of all that the thread that runs was answered; null outside of threads.
    std::uint64_t* answers() noexcept { return is_running_ ? &threads_[current_].answers : nullptr; }

  private:
    struct Choice {
        std::size_t chosen, count;
    };
    struct Thread {
        std::unique_ptr<std::byte[]> stack = std::make_unique_for_overwrite<std::byte[]>(Fiber::stack_size);
        std::unique_ptr<Fiber> fiber = std::make_unique<Fiber>(stack.get());
        bool ended = false;
        std::uint64_t answers = 0; // with its code, this is where it stands
    };

    void build();
    void execute();
    bool next_path();
    Fiber& end_thread();
    void wait_for_turn();
    Fiber& pick_next();
    std::size_t choose(std::size_t count);
    std::uint64_t state() const;
    template <class... Arguments>
    void check(const std::vector<std::function<void(Arguments...)>>& checks, std::type_identity_t<Arguments>... with);
    bool stops_here();
    void fail(const std::string& why);
    bool is_new() const noexcept { return depth_ >= path_.size(); }
    bool is_over() const noexcept { return is_covered_ || !report_.failure.empty(); }

    const std::function<void(Interleaving&)>& scenario_;
    const Exploration exploration_;
    ExplorationReport report_;
    VisitedStates visited_;
    std::vector<Choice> path_;

    // Of the scenario.
    Interleaving run_;
    std::vector<Thread> threads_;
    std::vector<Location*> locations_;
    std::vector<std::uint64_t> initial_;
    bool is_built_ = false;

    // Of one execution.
    ExploredMemory memory_;
    Fiber main_;
    std::size_t depth_ = 0, steps_ = 0, current_ = 0, switches_ = 0;
    bool is_running_ = false, is_covered_ = false, is_stopped_ = false, is_tracing_ = false;
};

thread_local InterleavingExplorer* InterleavingExplorer::active = nullptr;

ExplorationReport InterleavingExplorer::explore() {
    struct Activation {
        explicit Activation(InterleavingExplorer* self) noexcept { active = self; }
        Activation(const Activation&) = delete;
        Activation& operator=(const Activation&) = delete;
        ~Activation() { active = nullptr; }
    };
    const Activation activation{this};
    build();
    do {
        execute();
        ++report_.executions;
    } while (report_.failure.empty() && report_.executions < exploration_.most_executions && next_path());
    report_.complete = report_.failure.empty() && path_.empty();
    report_.states = visited_.size();
    if (!report_.failure.empty()) { // once more, writing down what happens
        report_.failure.clear();
        is_tracing_ = true;
        execute();
    }
    run_ = {}; // ends what the scenario made while it is still known
    return std::move(report_);
}

void InterleavingExplorer::build() {
    scenario_(run_);
    if (run_.threads_.empty() || run_.threads_.size() > most_threads)
        throw std::invalid_argument{"explore: a scenario has 1 to 8 threads"};
    threads_.resize(run_.threads_.size());
    for (const auto* location : locations_) initial_.push_back(location->latest);
    is_built_ = true;
}

void InterleavingExplorer::execute() {
    depth_ = steps_ = current_ = switches_ = 0;
    is_covered_ = is_stopped_ = false;
    run_.failure_.clear();
    run_.history_ = 0;
    for (std::size_t number = 0; number < locations_.size(); ++number) locations_[number]->latest = initial_[number];
    for (const auto& reset : run_.begin_) reset();
    memory_.reset(locations_, run_.threads_.size());

    for (std::size_t index = 0; index < threads_.size(); ++index) {
        auto& thread = threads_[index];
        thread.ended = false;
        thread.answers = 0;
        thread.fiber->begin([this, index]() -> Fiber* {
            threads_[index].answers = 1; // it has begun
            run_.threads_[index]();
            return &end_thread();
        });
    }
    auto& first = pick_next();
    is_running_ = true;
    main_.resume(first);
    is_running_ = false;
    if (is_stopped_)
        check(run_.stopped_, current_);
    else if (!is_over())
        check(run_.finally_);
}

bool InterleavingExplorer::next_path() {
    while (!path_.empty() && path_.back().chosen + 1 == path_.back().count) path_.pop_back();
    if (path_.empty()) return false;
    ++path_.back().chosen;
    return true;
}

Fiber& InterleavingExplorer::end_thread() {
    threads_[current_].ended = true;
    memory_.end(current_);
    if (!run_.failure_.empty()) fail(run_.failure_);
    return pick_next();
}

// Returns when a thread that wants to make a step was chosen to make it.
void InterleavingExplorer::wait_for_turn() {
    auto& self = *threads_[current_].fiber;
    self.resume(pick_next());
}

// The thread that ran last comes first: few switches, and short traces. Back to the explorer if there is nothing to do.
Fiber& InterleavingExplorer::pick_next() {
    if (is_new() || is_tracing_) check(run_.always_); // else it was checked when this way was first gone
    if (std::ranges::all_of(threads_, &Thread::ended)) return main_;
    if (++steps_ > exploration_.most_steps) fail("no end in sight: a thread waits for another");
    if (is_over()) return main_;
    if (is_new() && !is_tracing_ && !visited_.insert(state())) {
        is_covered_ = true;
        return main_;
    }

    std::array<std::size_t, most_threads> able{};
    std::size_t count = 0;
    const bool can_go_on = !threads_[current_].ended;
    if (can_go_on) able[count++] = current_;
    for (std::size_t index = 0; index < threads_.size(); ++index) {
        if (index != current_ && !threads_[index].ended) able[count++] = index;
    }
    if (count == 1 && stops_here()) return main_;
    if (can_go_on && switches_ == exploration_.most_switches) count = 1;
    const auto chosen = choose(count);
    if (can_go_on && chosen != 0) ++switches_;
    current_ = able[chosen];
    return *threads_[current_].fiber;
}

// Of the one thread that has not ended: it goes on first, then it is left where it stands.
bool InterleavingExplorer::stops_here() {
    if (run_.stopped_.empty() || threads_.size() == 1) return false;
    is_stopped_ = choose(2) == 1;
    if (is_stopped_)
        current_ = static_cast<std::size_t>(std::ranges::find(threads_, false, &Thread::ended) - threads_.begin());
    return is_stopped_;
}

std::size_t InterleavingExplorer::choose(std::size_t count) {
    if (count == 1) return 0;
    if (is_new()) path_.push_back({0, count});
    return path_[depth_++].chosen;
}

std::uint64_t InterleavingExplorer::state() const {
    auto hash = mixed(run_.history_, memory_.hash());
    for (const auto& thread : threads_) hash = mixed(hash, thread.answers * 2 + (thread.ended ? 1 : 0));
    if (exploration_.most_switches != ~std::size_t{0}) hash = mixed(hash, switches_ * most_threads + current_);
    return hash;
}

template <class... Arguments>
void InterleavingExplorer::check(const std::vector<std::function<void(Arguments...)>>& checks,
                                 std::type_identity_t<Arguments>... with) {
    const bool was_running = std::exchange(is_running_, false);
    for (const auto& one : checks) one(with...);
    is_running_ = was_running;
    if (!run_.failure_.empty()) fail(run_.failure_);
}

void InterleavingExplorer::fail(const std::string& why) {
    if (report_.failure.empty()) report_.failure = why;
}

std::size_t InterleavingExplorer::add(Location& location) {
    if (is_built_) return unscheduled;
    locations_.push_back(&location);
    return locations_.size() - 1;
}

auto InterleavingExplorer::access(Location& location, const Request& request) -> Answer {
    wait_for_turn();
    const auto answer =
        memory_.perform(current_, location, request, [this](std::size_t count) { return choose(count); });
    auto& answers = threads_[current_].answers;
    answers = mixed(answers, answer.value * 2 + (answer.stored ? 1 : 0));
    if (is_tracing_)
        report_.trace += "thread " + std::to_string(current_) + ": " + std::string{name_of(request.access)} + " #" +
                         std::to_string(location.number) + " -> " + std::to_string(answer.value) +
                         (answer.stored ? ", now " + std::to_string(location.latest) : "") + "\n";
    return answer;
}

void InterleavingExplorer::step() {
    if (!is_running_) return;
    wait_for_turn();
    auto& answers = threads_[current_].answers;
    answers = mixed(answers, 0);
}

namespace detail {

ScheduledLocation::ScheduledLocation(std::uint64_t value)
    : latest(value),
      number(InterleavingExplorer::active != nullptr ? InterleavingExplorer::active->add(*this) : unscheduled) {}

AtomicAnswer ScheduledLocation::access(const AtomicRequest& request) {
    auto* explorer = InterleavingExplorer::active;
    if (explorer != nullptr && explorer->schedules(number)) return explorer->access(*this, request);
    const auto old = latest;
    if (request.access == AtomicAccess::compare_exchange && old != request.expected) return {old, false};
    latest = ExploredMemory::stored_value(request, old);
    return {old, request.access != AtomicAccess::load};
}

} // namespace detail

ForgottenAnswers::ForgottenAnswers() noexcept {
    auto* explorer = InterleavingExplorer::active;
    const auto* answers = explorer != nullptr ? explorer->answers() : nullptr;
    before_ = after_ = answers != nullptr ? *answers : 0;
}
ForgottenAnswers::~ForgottenAnswers() {
    remember(1); // that it was here, and has returned: not the same as any place inside, nor as never having been
}
void ForgottenAnswers::forget() noexcept {
    after_ = before_;
}
void ForgottenAnswers::remember(std::uint64_t value) noexcept {
    constexpr std::uint64_t no_access = 0x8f3b6d2ca175e094; // else it might look like the answer to an access
    after_ = mixed(mixed(after_, no_access), value);
    auto* explorer = InterleavingExplorer::active;
    if (auto* answers = explorer != nullptr ? explorer->answers() : nullptr; answers != nullptr) *answers = after_;
}

void Interleaving::thread(std::function<void()> body) {
    threads_.push_back(std::move(body));
}
void Interleaving::begin(std::function<void()> reset) {
    begin_.push_back(std::move(reset));
}
void Interleaving::always(std::function<void()> check) {
    always_.push_back(std::move(check));
}
void Interleaving::finally(std::function<void()> check) {
    finally_.push_back(std::move(check));
}
void Interleaving::stopped(std::function<void(std::size_t)> check) {
    stopped_.push_back(std::move(check));
}
void Interleaving::fail(const std::string& why) {
    if (failure_.empty()) failure_ = why;
}
void Interleaving::event(std::uint64_t what) {
    history_ = mixed(history_, what);
}
void Interleaving::step() {
    if (InterleavingExplorer::active != nullptr) InterleavingExplorer::active->step();
}

ExplorationReport explore(const std::function<void(Interleaving&)>& scenario, const Exploration& exploration) {
    return InterleavingExplorer{scenario, exploration}.explore();
}

} // namespace velostream::testing
