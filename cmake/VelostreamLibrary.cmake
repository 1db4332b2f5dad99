# SPDX-License-Identifier: Apache-2.0
# How a library of this project is made, and with it everything that must not be forgotten: headers, settings, package, pkg-config file.

# velostream_library(<name>
#     FOLDERS <folder>...         folders under include/velostream and src; "." means the root without its subfolders
#     [OPTIONAL AUTO|ON|OFF]      adds the cache entry VELOSTREAM_<NAME> with this default: AUTO builds the library when its packages
#                                 are there, ON insists on them, OFF leaves it out. Without OPTIONAL the library is always built.
#     [PUBLIC <target>...]        targets whose headers our headers include
#     [PRIVATE <target>...])      targets that only our sources use
#
# Makes the static library velostream_<name> with the alias velostream::<name>. Headers and sources are found in the folders, so that
# a new file needs no line in any list. A library whose folders are still empty is left out.
function(velostream_library name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "OPTIONAL" "FOLDERS;PUBLIC;PRIVATE")
    set(target velostream_${name})

    velostream_library_files(headers "${PROJECT_SOURCE_DIR}/include/velostream" hpp ${arg_FOLDERS})
    velostream_library_files(sources "${PROJECT_SOURCE_DIR}/src" cpp ${arg_FOLDERS})
    velostream_library_wanted(left_out "${name}" "${arg_OPTIONAL}" "${headers}${sources}" ${arg_PUBLIC} ${arg_PRIVATE})
    if(left_out)
        set_property(GLOBAL APPEND PROPERTY velostream_left_out "${name}: ${left_out}")
        return()
    endif()

    add_library(${target} STATIC ${sources})
    add_library(velostream::${name} ALIAS ${target})
    target_sources(${target} PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include" FILES ${headers})
    target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src")
    target_compile_features(${target} PUBLIC cxx_std_20)
    target_link_libraries(${target} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
    velostream_compile_settings(${target})
    set_target_properties(${target} PROPERTIES
        EXPORT_NAME ${name}
        LINKER_LANGUAGE CXX
        POSITION_INDEPENDENT_CODE ON
        VERIFY_INTERFACE_HEADER_SETS ${PROJECT_IS_TOP_LEVEL})

    add_dependencies(velostream_libraries ${target})
    if(PROJECT_IS_TOP_LEVEL AND headers)
        add_dependencies(velostream_header_check ${target}_verify_interface_header_sets) # CMake's name for it
    endif()
    set_property(GLOBAL APPEND PROPERTY velostream_libraries ${name})
    foreach(folder IN LISTS arg_FOLDERS)
        set_property(GLOBAL PROPERTY "velostream_library_of_${folder}" ${name})
    endforeach()
    if(VELOSTREAM_INSTALL)
        velostream_install_library(${name} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
    endif()
endfunction()

# velostream_library_files(<variable> <root> <extension> <folder>...)
function(velostream_library_files variable root extension)
    set(files "")
    foreach(folder IN LISTS ARGN)
        if(folder STREQUAL ".")
            file(GLOB found CONFIGURE_DEPENDS "${root}/*.${extension}")
        else()
            file(GLOB_RECURSE found CONFIGURE_DEPENDS "${root}/${folder}/*.${extension}")
        endif()
        list(APPEND files ${found})
    endforeach()
    set(${variable} "${files}" PARENT_SCOPE)
endfunction()

# velostream_library_wanted(<variable> <name> <default of OPTIONAL> <files> <target>...)
#
# <variable> becomes empty if the library is to be built, otherwise the reason why not.
function(velostream_library_wanted variable name default files)
    set(reason "")
    set(mode ON)
    string(TOUPPER "VELOSTREAM_${name}" option)
    if(default)
        set(${option} ${default} CACHE STRING "Build velostream::${name}: AUTO (when its packages are there), ON or OFF")
        set_property(CACHE ${option} PROPERTY STRINGS AUTO ON OFF)
        set(mode "${${option}}")
    endif()

    if(NOT files)
        set(reason "no files yet")
    elseif(NOT mode)
        set(reason "switched off by ${option}")
    else()
        velostream_find(problem ${ARGN})
        if(problem AND mode STREQUAL "AUTO")
            set(reason "${problem}")
        elseif(problem)
            message(FATAL_ERROR "velostream::${name}: ${problem}")
        endif()
    endif()
    set(${variable} "${reason}" PARENT_SCOPE)
endfunction()

# Prints what is built, and what is not and why.
function(velostream_summary)
    get_property(libraries GLOBAL PROPERTY velostream_libraries)
    get_property(left_out GLOBAL PROPERTY velostream_left_out)
    list(JOIN libraries " " libraries)
    message(STATUS "velostream ${PROJECT_VERSION} (${CMAKE_BUILD_TYPE}, ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION})")
    message(STATUS "  libraries: ${libraries}")
    foreach(line IN LISTS left_out)
        message(STATUS "  not built: ${line}")
    endforeach()
    foreach(part TOOLS EXAMPLES TESTS BENCHMARKS)
        if(VELOSTREAM_BUILD_${part})
            string(TOLOWER ${part} part)
            list(APPEND parts ${part})
        endif()
    endforeach()
    list(JOIN parts " " parts)
    message(STATUS "  programs: ${parts}")
endfunction()
