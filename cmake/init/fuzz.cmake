# SPDX-License-Identifier: Apache-2.0
# cmake -C cmake/init/fuzz.cmake -S . -B .build/fuzz
#
# The fuzzers of tests/fuzz (target velostream_fuzzers), and everything that they call, with libFuzzer's counters,
# AddressSanitizer and UndefinedBehaviorSanitizer.
set(CMAKE_CXX_COMPILER "clang++-19" CACHE STRING "")
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(CMAKE_CXX_FLAGS "-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer" CACHE STRING "")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1" CACHE STRING "")
set(VELOSTREAM_BUILD_FUZZERS ON CACHE BOOL "")
set(VELOSTREAM_BUILD_BENCHMARKS OFF CACHE BOOL "")
