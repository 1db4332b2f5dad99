# SPDX-License-Identifier: Apache-2.0
# cmake -C cmake/init/tsan.cmake -S . -B .build/tsan
#
# ThreadSanitizer. A report makes the program exit with 66.
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(CMAKE_CXX_FLAGS "-fsanitize=thread -fno-omit-frame-pointer" CACHE STRING "")
set(CMAKE_CXX_FLAGS_DEBUG "-Og -g1" CACHE STRING "")
set(VELOSTREAM_BUILD_BENCHMARKS OFF CACHE BOOL "")
# Eight files are compiled as one, as in asan.cmake.
set(CMAKE_UNITY_BUILD ON CACHE BOOL "")
set(CMAKE_UNITY_BUILD_BATCH_SIZE 8 CACHE STRING "")
