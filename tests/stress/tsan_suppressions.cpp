// SPDX-License-Identifier: Apache-2.0
// What ThreadSanitizer cannot know: Asio counts references, such as those to what an `any_executor` holds, with a
// release and a fence, and it takes no notice of fences. So the last one's deletion looks like a race with the count of
// the one before. Everything else it says about Asio stands.
#if defined(__SANITIZE_THREAD__)

// Visible, or the sanitizer's runtime does not find it.
extern "C" [[gnu::visibility("default")]] const char* __tsan_default_suppressions();

const char* __tsan_default_suppressions() {
    return "race:boost::asio::detail::ref_count_down\n"
           "race:boost::asio::execution::detail::any_executor_base::destroy_shared\n"
           "race:boost::asio::execution::detail::shared_target_executor\n";
}

#endif
