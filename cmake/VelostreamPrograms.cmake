# SPDX-License-Identifier: Apache-2.0
# Programs of this project: tools, examples, benchmarks and tests, all found by folder.

# Targets that build one part each, so that a command builds what it needs in a tree that is configured for more.
add_custom_target(velostream_libraries)
add_custom_target(velostream_header_check) # compiles every public header alone
add_custom_target(velostream_tools)
add_custom_target(velostream_examples)
add_custom_target(velostream_benchmarks)
add_custom_target(velostream_tests)
foreach(kind unit cancellation interleaving stress integration broker database)
    add_custom_target(velostream_tests_${kind})
    add_dependencies(velostream_tests velostream_tests_${kind})
endforeach()

# velostream_built_libraries(<variable>): the aliases of all libraries that are built.
function(velostream_built_libraries variable)
    get_property(names GLOBAL PROPERTY velostream_libraries)
    list(TRANSFORM names PREPEND velostream::)
    set(${variable} "${names}" PARENT_SCOPE)
endfunction()

# velostream_program(<target> SOURCES <file>... [LIBRARIES <target>...] [GROUP <target>])
#
# An executable with this project's settings. GROUP is one of the targets above.
function(velostream_program target)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "GROUP" "SOURCES;LIBRARIES")
    add_executable(${target} ${arg_SOURCES})
    target_link_libraries(${target} PRIVATE ${arg_LIBRARIES})
    velostream_compile_settings(${target})
    if(arg_GROUP)
        add_dependencies(${arg_GROUP} ${target})
    endif()
endfunction()

# velostream_programs(<folder> [PREFIX <text>] [GROUP <target>] [LIBRARIES <target>...])
#
# One executable <prefix><name> for each <name>.cpp of the folder, and one for each subfolder <name> that holds .cpp files and no
# CMakeLists.txt (all of its files together). A subfolder with a CMakeLists.txt is added as it is. Each links all our libraries.
function(velostream_programs folder)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "PREFIX;GROUP" "LIBRARIES")
    velostream_built_libraries(libraries)
    file(GLOB entries LIST_DIRECTORIES true CONFIGURE_DEPENDS "${folder}/*")
    foreach(entry IN LISTS entries)
        cmake_path(GET entry STEM name)
        if(EXISTS "${entry}/CMakeLists.txt")
            add_subdirectory("${entry}" "${CMAKE_CURRENT_BINARY_DIR}/${name}")
            get_property(targets DIRECTORY "${entry}" PROPERTY BUILDSYSTEM_TARGETS)
            if(targets AND arg_GROUP)
                add_dependencies(${arg_GROUP} ${targets})
            endif()
            continue()
        elseif(IS_DIRECTORY "${entry}")
            file(GLOB sources CONFIGURE_DEPENDS "${entry}/*.cpp")
        elseif(entry MATCHES "\\.cpp$")
            set(sources "${entry}")
        else()
            continue()
        endif()
        if(sources)
            velostream_program(${arg_PREFIX}${name} SOURCES ${sources} LIBRARIES ${libraries} ${arg_LIBRARIES} GROUP ${arg_GROUP})
        endif()
    endforeach()
endfunction()
