# SPDX-License-Identifier: Apache-2.0
# cmake -C cmake/init/tidy.cmake -S . -B .build/tidy
#
# Every compilation is followed by clang-tidy with the rules of .clang-tidy. Precompiled headers are off: clang-tidy cannot read g++'s.
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(CMAKE_CXX_CLANG_TIDY "clang-tidy-19" CACHE STRING "")
set(CMAKE_DISABLE_PRECOMPILE_HEADERS ON CACHE BOOL "")
set(VELOSTREAM_BUILD_BENCHMARKS OFF CACHE BOOL "")
