# SPDX-License-Identifier: Apache-2.0
# cmake -C cmake/init/asan.cmake -S . -B .build/asan
#
# AddressSanitizer with LeakSanitizer and UndefinedBehaviorSanitizer. The first report ends the program.
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(CMAKE_CXX_FLAGS "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer" CACHE STRING "")
set(CMAKE_CXX_FLAGS_DEBUG "-Og -g1" CACHE STRING "")
set(VELOSTREAM_BUILD_BENCHMARKS OFF CACHE BOOL "")
