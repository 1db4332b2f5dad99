# SPDX-License-Identifier: Apache-2.0
# Tests are found by folder: every folder under tests/<kind> that holds .cpp files becomes one executable.
include(GoogleTest)

# What belongs to tests alone. Their own lines are optimised less than what they test and, in a sanitizer's build, looked at less: the
# compiler would need twice the time for what users never run.
function(velostream_test_settings target)
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
    if(CMAKE_CXX_FLAGS MATCHES "-fsanitize=[a-z,]*undefined")
        target_compile_options(${target} PRIVATE -fno-sanitize=alignment,null,object-size,vptr)
    endif()
    # Tests that replace the heap ask for g++'s macro, which clang has not.
    foreach(sanitizer address thread)
        if(CMAKE_CXX_FLAGS MATCHES "-fsanitize=[a-z,]*${sanitizer}" AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
            string(TOUPPER ${sanitizer} name)
            target_compile_definitions(${target} PRIVATE __SANITIZE_${name}__=1)
        endif()
    endforeach()
endfunction()

# What most tests need is compiled once. It holds nothing of ours, so that a change of ours rebuilds only what includes it.
function(velostream_test_precompiled_header)
    file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/precompiled.cpp" CONTENT "// Gives the precompiled header a target.\n")
    add_library(velostream_test_precompiled OBJECT "${CMAKE_CURRENT_BINARY_DIR}/precompiled.cpp")
    target_link_libraries(velostream_test_precompiled PRIVATE velostream::core GTest::gmock)
    velostream_compile_settings(velostream_test_precompiled)
    velostream_test_settings(velostream_test_precompiled)
    target_precompile_headers(velostream_test_precompiled PRIVATE
        <algorithm> <array> <atomic> <chrono> <deque> <filesystem> <functional> <map> <memory> <memory_resource> <mutex>
        <optional> <random> <sstream> <string> <thread> <unordered_map> <vector>
        <boost/asio/any_completion_handler.hpp> <boost/asio/any_io_executor.hpp> <boost/asio/as_tuple.hpp>
        <boost/asio/awaitable.hpp> <boost/asio/bind_cancellation_slot.hpp> <boost/asio/bind_executor.hpp>
        <boost/asio/co_spawn.hpp> <boost/asio/deferred.hpp> <boost/asio/detached.hpp> <boost/asio/io_context.hpp>
        <boost/asio/post.hpp> <boost/asio/steady_timer.hpp> <boost/asio/strand.hpp> <boost/asio/use_awaitable.hpp>
        <boost/system/result.hpp> <gmock/gmock.h> <gtest/gtest.h>)
endfunction()

# velostream_tests(<kind> LABEL <label> [TIMEOUT <seconds>] [SERIAL] [PROPERTIES <name> <value>...])
#
# tests/<kind>/*.cpp becomes the executable <kind>, tests/<kind>/<folder>/*.cpp becomes <kind>_<folder>. A folder, or a file whose name
# begins with <folder>_, that belongs to a library which is not built is left out.
function(velostream_tests kind)
    cmake_parse_arguments(PARSE_ARGV 1 arg "SERIAL" "LABEL;TIMEOUT" "PROPERTIES")
    set(root "${CMAKE_CURRENT_SOURCE_DIR}/${kind}")
    file(GLOB files CONFIGURE_DEPENDS "${root}/*.cpp")
    velostream_test_executable(${kind} "${files}")

    file(GLOB entries LIST_DIRECTORIES true CONFIGURE_DEPENDS "${root}/*")
    foreach(folder IN LISTS entries)
        cmake_path(GET folder FILENAME name)
        velostream_is_left_out(left_out ${name})
        if(IS_DIRECTORY "${folder}" AND NOT left_out)
            file(GLOB files CONFIGURE_DEPENDS "${folder}/*.cpp")
            velostream_test_executable(${kind}_${name} "${files}")
        endif()
    endforeach()
endfunction()

# velostream_is_left_out(<variable> <folder>): true if the folder belongs to something optional that this build leaves out.
function(velostream_is_left_out variable folder)
    set(result FALSE)
    if(EXISTS "${PROJECT_SOURCE_DIR}/include/velostream/${folder}")
        get_property(library GLOBAL PROPERTY "velostream_library_of_${folder}")
        if(NOT library)
            set(result TRUE)
        endif()
    elseif(folder STREQUAL "benchmarks" AND NOT TARGET velostream_bench_figures)
        set(result TRUE)
    elseif(folder STREQUAL "tools" AND NOT TARGET velostream_dlq_parts)
        set(result TRUE)
    endif()
    set(${variable} ${result} PARENT_SCOPE)
endfunction()

# velostream_test_executable(<name> <files>): part of velostream_tests, whose arguments it reads.
function(velostream_test_executable name files)
    foreach(file IN LISTS files)
        cmake_path(GET file STEM stem)
        string(REGEX MATCH "^[a-z]+" folder "${stem}")
        velostream_is_left_out(left_out "${folder}")
        if(left_out)
            list(REMOVE_ITEM files "${file}")
        endif()
    endforeach()
    if(NOT files)
        return()
    endif()

    velostream_built_libraries(libraries)
    velostream_program(${name} SOURCES ${files} LIBRARIES ${libraries} GTest::gmock_main GROUP velostream_tests_${kind})
    velostream_test_settings(${name})
    foreach(library RdKafka::rdkafka PostgreSQL::PostgreSQL SQLite::SQLite3 spdlog::spdlog) # libraries of ours use them; tests look behind
        if(TARGET ${library})
            target_link_libraries(${name} PRIVATE ${library})
        endif()
    endforeach()
    target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests" "${PROJECT_SOURCE_DIR}/src")
    target_precompile_headers(${name} REUSE_FROM velostream_test_precompiled)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")

    set(properties LABELS ${arg_LABEL} ${arg_PROPERTIES})
    if(arg_TIMEOUT)
        list(APPEND properties TIMEOUT ${arg_TIMEOUT})
    endif()
    if(arg_SERIAL)
        list(APPEND properties RUN_SERIAL TRUE)
    endif()
    velostream_test_cases(${name} PROPERTIES ${properties})
endfunction()

# velostream_test_cases(<executable> [FILTER <filter>] [LIST <name>] PROPERTIES <name> <value>...)
#
# Makes the executable's cases tests of ctest, each in a process of its own. Where several such lists are made of one executable, each
# has a FILTER and a LIST. Under a sanitizer, where a process takes far longer to begin than most cases of the labels unit and
# cancellation to run, those share four: the last one that an output says RUN of is the one that ended it.
function(velostream_test_cases executable)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "FILTER;LIST" "PROPERTIES")
    cmake_parse_arguments(property "" "LABELS" "" ${arg_PROPERTIES})
    if(NOT arg_FILTER)
        set(arg_FILTER "*")
    endif()
    if(CMAKE_CXX_FLAGS MATCHES "-fsanitize" AND property_LABELS MATCHES "^(unit|cancellation)$")
        foreach(share RANGE 3)
            set(test ${executable}.share_${share})
            add_test(NAME ${test} COMMAND ${executable} "--gtest_filter=${arg_FILTER}")
            set_tests_properties(${test} PROPERTIES ${arg_PROPERTIES} TIMEOUT 600
                ENVIRONMENT "GTEST_TOTAL_SHARDS=4;GTEST_SHARD_INDEX=${share}")
        endforeach()
        return()
    endif()

    set(list ${executable}_TESTS)
    if(arg_LIST)
        set(list ${arg_LIST})
    endif()
    gtest_discover_tests(${executable} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 NO_PRETTY_VALUES TEST_PREFIX "${executable}."
        TEST_FILTER "${arg_FILTER}" TEST_LIST ${list} PROPERTIES ${arg_PROPERTIES})
endfunction()
