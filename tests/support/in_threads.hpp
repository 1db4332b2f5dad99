// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <thread>
#include <vector>

namespace velostream::testing {

// Calls `work(number)` in so many threads at once, numbered from 0, and waits for all of them.
template <class Work>
void in_threads(int count, Work work) {
    std::vector<std::thread> threads;
    for (int number = 0; number < count; ++number) threads.emplace_back([&work, number] { work(number); });
    for (auto& thread : threads) thread.join();
}

} // namespace velostream::testing
