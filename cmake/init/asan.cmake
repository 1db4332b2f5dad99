# SPDX-License-Identifier: Apache-2.0
# cmake -C cmake/init/asan.cmake -S . -B .build/asan
#
# AddressSanitizer with LeakSanitizer and UndefinedBehaviorSanitizer. The first report ends the program. Asio keeps no memory
# for what comes next, which would hide who uses what has ended. Not optimised: that would take the compiler three times as long.
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(CMAKE_CXX_FLAGS "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -DBOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE=0" CACHE STRING "")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1" CACHE STRING "")
set(VELOSTREAM_BUILD_BENCHMARKS OFF CACHE BOOL "")
# Eight files are compiled as one: what takes the compiler its time is what they have in common. The price: names of files of one
# target must not collide, be they in unnamed namespaces.
set(CMAKE_UNITY_BUILD ON CACHE BOOL "")
set(CMAKE_UNITY_BUILD_BATCH_SIZE 8 CACHE STRING "")
