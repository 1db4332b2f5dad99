# SPDX-License-Identifier: Apache-2.0
# Every package this project may use: how CMake finds it, how Debian and pkg-config call it.

# velostream_dependency(<imported target> PACKAGE <find_package name> DEBIAN <package> [VERSION <minimum>] [PKGCONFIG <requirement>])
#
# Declares a package. Nothing is looked for until a target needs it.
function(velostream_dependency target)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "PACKAGE;DEBIAN;VERSION;PKGCONFIG" "")
    foreach(field PACKAGE DEBIAN VERSION PKGCONFIG)
        set_property(GLOBAL PROPERTY "velostream_${target}_${field}" "${arg_${field}}")
    endforeach()
endfunction()

# velostream_dependency_field(<variable> <imported target> <field>)
function(velostream_dependency_field variable target field)
    get_property(value GLOBAL PROPERTY "velostream_${target}_${field}")
    set(${variable} "${value}" PARENT_SCOPE)
endfunction()

velostream_dependency(Threads::Threads PACKAGE Threads DEBIAN libc6-dev)
velostream_dependency(Boost::headers PACKAGE Boost VERSION 1.81 DEBIAN libboost1.81-dev)
velostream_dependency(RdKafka::rdkafka PACKAGE RdKafka VERSION 2.0.2 DEBIAN librdkafka-dev PKGCONFIG "rdkafka >= 2.0.2")
velostream_dependency(PostgreSQL::PostgreSQL PACKAGE PostgreSQL VERSION 14 DEBIAN libpq-dev PKGCONFIG "libpq >= 14")
velostream_dependency(SQLite::SQLite3 PACKAGE SQLite3 VERSION 3.37 DEBIAN libsqlite3-dev PKGCONFIG "sqlite3 >= 3.37")
velostream_dependency(fmt::fmt PACKAGE fmt VERSION 9 DEBIAN libfmt-dev PKGCONFIG "fmt >= 9")
velostream_dependency(spdlog::spdlog PACKAGE spdlog VERSION 1.10 DEBIAN libspdlog-dev PKGCONFIG "spdlog >= 1.10")
velostream_dependency(GTest::gmock_main PACKAGE GTest VERSION 1.12 DEBIAN "libgtest-dev libgmock-dev")
velostream_dependency(benchmark::benchmark PACKAGE benchmark VERSION 1.7 DEBIAN libbenchmark-dev)
velostream_dependency(CLI11::CLI11 PACKAGE CLI11 VERSION 2.1 DEBIAN libcli11-dev)
velostream_dependency(nlohmann_json::nlohmann_json PACKAGE nlohmann_json VERSION 3.11 DEBIAN nlohmann-json3-dev)
velostream_dependency(zstd::libzstd_shared PACKAGE zstd VERSION 1.5 DEBIAN libzstd-dev)

# velostream_find(<variable> <imported target>...)
#
# Finds the packages of these targets. <variable> becomes empty, or a sentence that says what is missing. Targets that nobody
# declared here (our own) are passed over.
macro(velostream_find velostream_find_result)
    set(${velostream_find_result} "")
    foreach(velostream_find_target IN ITEMS ${ARGN})
        velostream_dependency_field(velostream_find_package ${velostream_find_target} PACKAGE)
        if(velostream_find_package AND NOT TARGET ${velostream_find_target})
            velostream_find_one("${velostream_find_result}" ${velostream_find_target} ${velostream_find_package})
        endif()
    endforeach()
endmacro()

# A BOOST_ROOT may hold nothing but headers. CMake's own FindBoost takes it, unless a system's Boost has a package configuration that
# goes first.
macro(velostream_boost_root)
    if(POLICY CMP0167)
        cmake_policy(SET CMP0167 OLD) # newer CMake asks before it uses FindBoost
    endif()
    if(DEFINED BOOST_ROOT OR DEFINED ENV{BOOST_ROOT})
        set(Boost_NO_BOOST_CMAKE ON)
    endif()
endmacro()

function(velostream_find_one variable target package)
    velostream_dependency_field(version ${target} VERSION)
    velostream_dependency_field(debian ${target} DEBIAN)
    if(package STREQUAL "Boost")
        velostream_boost_root()
    endif()
    find_package(${package} ${version} QUIET)
    if(TARGET ${target})
        return()
    endif()
    set(found_problem "${package} ${version} or newer is needed (Debian package: ${debian})")
    if(package STREQUAL "Boost")
        if(Boost_VERSION_STRING)
            string(APPEND found_problem "; found ${Boost_VERSION_STRING} in ${Boost_INCLUDE_DIRS}")
        endif()
        string(APPEND found_problem "; where another Boost must stay, unpack one beside it and set BOOST_ROOT to its folder")
    endif()
    set(${variable} "${${variable}}${found_problem}. " PARENT_SCOPE)
endfunction()

# velostream_require(<imported target>...): finds these packages or ends the configuration, naming what is missing.
macro(velostream_require)
    velostream_find(velostream_require_problem ${ARGN})
    if(velostream_require_problem)
        message(FATAL_ERROR "${velostream_require_problem}")
    endif()
endmacro()
