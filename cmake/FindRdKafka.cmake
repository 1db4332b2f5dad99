# SPDX-License-Identifier: Apache-2.0
# Finds librdkafka's C library and defines RdKafka::rdkafka. Debian's package has a pkg-config file and no CMake one; a library that
# was installed by hand may have neither. RdKafka_ROOT names a prefix to look in first.
find_package(PkgConfig QUIET)
if(PKG_CONFIG_FOUND)
    pkg_check_modules(PC_RdKafka QUIET rdkafka)
endif()

find_path(RdKafka_INCLUDE_DIR librdkafka/rdkafka.h HINTS ${PC_RdKafka_INCLUDE_DIRS})
find_library(RdKafka_LIBRARY rdkafka HINTS ${PC_RdKafka_LIBRARY_DIRS})
mark_as_advanced(RdKafka_INCLUDE_DIR RdKafka_LIBRARY)

# The header says 0x020002ff for 2.0.2: two hexadecimal digits each.
if(RdKafka_INCLUDE_DIR)
    file(STRINGS "${RdKafka_INCLUDE_DIR}/librdkafka/rdkafka.h" RdKafka_VERSION_LINE REGEX "^#define RD_KAFKA_VERSION +0x")
    if(RdKafka_VERSION_LINE MATCHES "0x(..)(..)(..)")
        math(EXPR RdKafka_MAJOR "0x${CMAKE_MATCH_1}")
        math(EXPR RdKafka_MINOR "0x${CMAKE_MATCH_2}")
        math(EXPR RdKafka_PATCH "0x${CMAKE_MATCH_3}")
        set(RdKafka_VERSION "${RdKafka_MAJOR}.${RdKafka_MINOR}.${RdKafka_PATCH}")
    endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(RdKafka REQUIRED_VARS RdKafka_LIBRARY RdKafka_INCLUDE_DIR VERSION_VAR RdKafka_VERSION)

if(RdKafka_FOUND AND NOT TARGET RdKafka::rdkafka)
    add_library(RdKafka::rdkafka UNKNOWN IMPORTED)
    set_target_properties(RdKafka::rdkafka PROPERTIES
        IMPORTED_LOCATION "${RdKafka_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${RdKafka_INCLUDE_DIR}")
endif()
