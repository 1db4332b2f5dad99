// SPDX-License-Identifier: Apache-2.0
// Asio's last release of a reference is a decrement and then a fence, which ThreadSanitizer does not model: it takes
// the destruction after it for a race with the decrements before. Everything else it says about Asio stands.
#if defined(__SANITIZE_THREAD__)
extern "C" [[gnu::visibility("default")]] const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
    return "race:boost::asio::detail::ref_count_down\n";
}
#endif
