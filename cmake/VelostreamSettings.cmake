# SPDX-License-Identifier: Apache-2.0
# Compiler settings: defaults of a top-level build, and the warnings of our own targets.

# Imported targets are found in src/ and used by tests, examples and the project that includes us.
set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)

if(PROJECT_IS_TOP_LEVEL)
    set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
    set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")

    get_property(is_multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
    if(NOT CMAKE_BUILD_TYPE AND NOT is_multi_config)
        set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
    endif()

    # ccache needs its sloppiness told before it caches anything that uses a precompiled header. The environment's word goes first.
    find_program(VELOSTREAM_CCACHE ccache)
    if(VELOSTREAM_CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
        set(CMAKE_CXX_COMPILER_LAUNCHER "${VELOSTREAM_CCACHE}")
        if(NOT DEFINED ENV{CCACHE_SLOPPINESS})
            list(PREPEND CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros)
        endif()
    endif()
endif()

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
    message(FATAL_ERROR "velostream needs g++ 12 or newer, found ${CMAKE_CXX_COMPILER_VERSION} (Debian package: g++)")
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 16)
    message(FATAL_ERROR "velostream needs clang 16 or newer, found ${CMAKE_CXX_COMPILER_VERSION} (Debian package: clang-19)")
endif()

# A warning is an error with the compilers that .ci/run uses. Another one may know warnings that nobody has seen yet, and a user's
# first build must not end on them.
set(warnings_are_errors OFF)
if(PROJECT_IS_TOP_LEVEL AND CMAKE_CXX_COMPILER_ID MATCHES "^(GNU|Clang)$" AND CMAKE_CXX_COMPILER_VERSION MATCHES "^(12|19)\\.")
    set(warnings_are_errors ON)
endif()
option(VELOSTREAM_WARNINGS_AS_ERRORS "A warning in our own sources ends the build" ${warnings_are_errors})

# Compile settings of every target of this project, libraries and programs alike. Nothing of it reaches a user's target.
function(velostream_compile_settings target)
    set_target_properties(${target} PROPERTIES
        CXX_EXTENSIONS OFF
        CXX_VISIBILITY_PRESET hidden
        VISIBILITY_INLINES_HIDDEN ON)
    target_compile_features(${target} PRIVATE cxx_std_20)

    if(CMAKE_CXX_COMPILER_ID MATCHES "^(GNU|Clang)$")
        target_compile_options(${target} PRIVATE
            -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Woverloaded-virtual
            -Wcast-align -Wextra-semi -Wimplicit-fallthrough
            # Config structs are filled in part, by designated initializers: that is what their defaults are for.
            -Wno-missing-field-initializers)
        if(VELOSTREAM_WARNINGS_AS_ERRORS)
            target_compile_options(${target} PRIVATE -Werror)
        endif()
    endif()
    # Compiled together, files see each other's names: these two say something about a file only where it is compiled alone, as it is
    # in every other build.
    if(CMAKE_UNITY_BUILD)
        target_compile_options(${target} PRIVATE -Wno-shadow $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
    endif()
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        target_compile_options(${target} PRIVATE
            -Wduplicated-cond -Wlogical-op
            # ThreadSanitizer does not model the fences that Asio uses. What they order is ordered by atomics too.
            -Wno-tsan
            # Asio's coroutine frames have an operator new and delete of their own that inlining takes apart.
            -Wno-mismatched-new-delete
            # Wrong alarms of the optimiser about coroutine frames and std::optional: shown, never fatal.
            -Wno-error=maybe-uninitialized)
        if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
            target_compile_options(${target} PRIVATE -Wno-restrict) # GCC bug 105329: std::string::insert and replace
        endif()
    endif()
endfunction()
