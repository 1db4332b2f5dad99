# SPDX-License-Identifier: Apache-2.0
# cmake -C cmake/init/release.cmake -S . -B .build/release
#
# What users run and what benchmarks measure: optimised, assertions off, no debug information.
set(CMAKE_BUILD_TYPE Release CACHE STRING "")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG" CACHE STRING "")
