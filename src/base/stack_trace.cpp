// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/stack_trace.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#if defined(__GLIBC__)
#include <dlfcn.h>
#include <link.h>
#include <unwind.h>
#define VELOSTREAM_HAS_UNWINDER 1
#else
#define VELOSTREAM_HAS_UNWINDER 0
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VELOSTREAM_READS_RAW_STACK __attribute__((no_sanitize("address")))
#endif
#endif
#if !defined(VELOSTREAM_READS_RAW_STACK)
#define VELOSTREAM_READS_RAW_STACK __attribute__((no_sanitize_address))
#endif

namespace velostream {

#if VELOSTREAM_HAS_UNWINDER

namespace {

using Address = std::uintptr_t;

/// A walked stack: return addresses, and the places on the stack where they were found.
struct Walk {
    std::array<Address, StackTrace::max_frames> returns{};
    std::array<const Address*, StackTrace::max_frames> places{};
    std::size_t size = 0;
    std::size_t to_skip = 0;
    bool has_places = true; // every return address lies where the calling convention of x86 puts it
};

VELOSTREAM_READS_RAW_STACK _Unwind_Reason_Code add_frame(_Unwind_Context* frame, void* argument) {
    auto& walk = *static_cast<Walk*>(argument);
    if (walk.to_skip > 0) {
        --walk.to_skip;
        return _URC_NO_REASON;
    }
    if (walk.size == walk.returns.size()) return _URC_END_OF_STACK;
    const auto address = static_cast<Address>(_Unwind_GetIP(frame));
    if (address == 0) return _URC_END_OF_STACK;
    walk.returns[walk.size] = address;
#if defined(__x86_64__)
    const auto* place = reinterpret_cast<const Address*>(_Unwind_GetCFA(frame)) - 1;
    walk.places[walk.size] = place;
    walk.has_places = walk.has_places && *place == address;
#else
    walk.has_places = false;
#endif
    ++walk.size;
    return _URC_NO_REASON;
}

std::string module_name(const char* path) {
    const std::string_view name = path ? path : "?";
    return std::string{name.substr(name.rfind('/') + 1)}; // rfind's npos + 1 is 0
}

std::string text_of(const Walk& walk) {
    std::string text;
    for (std::size_t i = 0; i < walk.size; ++i) {
        const auto call = walk.returns[i] - 1; // inside the call instruction, so that tools name the calling line
        Dl_info info{};
        link_map* module = nullptr;
        const bool known =
            dladdr1(reinterpret_cast<void*>(call), &info, reinterpret_cast<void**>(&module), RTLD_DL_LINKMAP) != 0;
        char offset[2 + 2 * sizeof(Address)];
        const auto in_module = known && module ? call - module->l_addr : call;
        const auto end = std::to_chars(offset, offset + sizeof offset, in_module, 16).ptr;
        if (!text.empty()) text += '\n';
        text.append(module_name(known ? info.dli_fname : nullptr)).append("+0x").append(offset, end);
    }
    return text;
}

/// Texts of the stacks seen so far, for all threads.
class Texts {
  public:
    std::shared_ptr<const std::string> find_or_make(const Walk& walk) {
        const auto last = walk.returns.begin() + static_cast<std::ptrdiff_t>(walk.size);
        std::vector<Address> key{walk.returns.begin(), last};
        const std::lock_guard lock{mutex_};
        const auto found = texts_.find(key);
        if (found != texts_.end()) return found->second;
        constexpr std::size_t most = 1024;
        if (texts_.size() == most) texts_.clear();
        auto text = std::make_shared<const std::string>(text_of(walk));
        texts_.emplace(std::move(key), text);
        return text;
    }

  private:
    std::mutex mutex_;
    std::map<std::vector<Address>, std::shared_ptr<const std::string>> texts_;
};

Texts& texts() {
    static auto* const kept = new Texts; // never destroyed: threads may outlive main()
    return *kept;
}

/// The last stacks that this thread walked.
///
/// A stack is the same as before if capture() was called from the same place with the same stack pointer and every
/// return address is still where it was: the size of a frame follows from the return address into it, so the same
/// addresses at the same places are the same frames. The places lie above the stack pointer in this thread's own
/// stack, so they may be read.
class RecentStacks {
  public:
    VELOSTREAM_READS_RAW_STACK const std::shared_ptr<const std::string>* find(const void* frame, const void* caller) {
        for (auto& stack : stacks_)
            if (stack.frame == frame && stack.caller == caller && is_unchanged(stack.walk)) return &stack.text;
        return nullptr;
    }

    void add(const void* frame, const void* caller, const Walk& walk, std::shared_ptr<const std::string> text) {
        if (!walk.has_places) return;
        stacks_[next_] = {frame, caller, walk, std::move(text)};
        next_ = (next_ + 1) % stacks_.size();
    }

  private:
    struct Stack {
        const void* frame = nullptr;
        const void* caller = nullptr;
        Walk walk;
        std::shared_ptr<const std::string> text;
    };

    VELOSTREAM_READS_RAW_STACK static bool is_unchanged(const Walk& walk) {
        for (std::size_t i = 0; i < walk.size; ++i)
            if (*walk.places[i] != walk.returns[i]) return false;
        return true;
    }

    std::array<Stack, 8> stacks_;
    std::size_t next_ = 0;
};

RecentStacks& recent_stacks() {
    static thread_local RecentStacks recent;
    return recent;
}

} // namespace

[[gnu::noinline]] StackTrace StackTrace::capture(std::size_t frames_to_leave_out) noexcept {
    try {
        const void* frame = __builtin_frame_address(0);
        const void* caller = __builtin_return_address(0);
        auto& recent = recent_stacks();
        if (const auto* text = recent.find(frame, caller)) return StackTrace{*text};
        Walk walk;
        walk.to_skip = 1 + frames_to_leave_out; // this function, too
        _Unwind_Backtrace(add_frame, &walk);
        auto text = texts().find_or_make(walk);
        recent.add(frame, caller, walk, text);
        return StackTrace{std::move(text)};
    } catch (...) {
        return {}; // no memory: the dead letter goes without its trace
    }
}

#else

StackTrace StackTrace::capture(std::size_t) noexcept {
    return {};
}

#endif

[[gnu::noinline]] StackTrace StackTrace::capture_behind(const StackTrace& thrown_at) noexcept {
    auto here = capture(1);
    if (thrown_at.empty()) return here;
    try {
        std::string text{"thrown at\n"};
        text.append(thrown_at.text());
        if (!here.empty()) text.append("\nrecorded at\n").append(here.text());
        return StackTrace{std::make_shared<const std::string>(std::move(text))};
    } catch (...) { // no memory
        return thrown_at;
    }
}

} // namespace velostream
