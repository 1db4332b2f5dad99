# SPDX-License-Identifier: Apache-2.0
# Install rules: one export set and one pkg-config file per library, one package configuration for all.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(velostream_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/velostream")

# velostream_install_library(<name> [PUBLIC <target>...] [PRIVATE <target>...])
function(velostream_install_library name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "PUBLIC;PRIVATE")
    set(target velostream_${name})
    install(TARGETS ${target} EXPORT velostream-${name}
        ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
    install(EXPORT velostream-${name} NAMESPACE velostream:: FILE velostream-${name}-targets.cmake DESTINATION "${velostream_package_dir}")

    velostream_write_component(${name} ${arg_PUBLIC} ${arg_PRIVATE})
    velostream_write_pkgconfig(${name} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
endfunction()

# velostream_write_component(<name> <target>...): the file that finds what the library links to, then loads the library.
function(velostream_write_component name)
    set(lines "# SPDX-License-Identifier: Apache-2.0")
    foreach(used IN LISTS ARGN)
        velostream_dependency_field(package ${used} PACKAGE)
        velostream_dependency_field(version ${used} VERSION)
        if(used MATCHES "^velostream::(.*)$")
            list(APPEND lines "velostream_load_component(${CMAKE_MATCH_1})")
        elseif(package)
            list(APPEND lines "find_dependency(${package} ${version})")
        endif()
    endforeach()
    list(APPEND lines "include(\"\${CMAKE_CURRENT_LIST_DIR}/velostream-${name}-targets.cmake\")" "")
    list(JOIN lines "\n" text)
    file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/package/velostream-${name}.cmake" CONTENT "${text}" @ONLY)
    install(FILES "${PROJECT_BINARY_DIR}/package/velostream-${name}.cmake" DESTINATION "${velostream_package_dir}")
endfunction()

# velostream_write_pkgconfig(<name> [PUBLIC <target>...] [PRIVATE <target>...])
#
# The library is static, so whoever links it needs all of its libraries: they stand under Requires, not under Requires.private.
function(velostream_write_pkgconfig name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "PUBLIC;PRIVATE")
    set(requires "")
    set(cflags "")
    set(libs "")
    foreach(used IN LISTS arg_PUBLIC arg_PRIVATE)
        velostream_dependency_field(requirement ${used} PKGCONFIG)
        if(used MATCHES "^velostream::(.*)$")
            list(APPEND requires "velostream-${CMAKE_MATCH_1} = ${PROJECT_VERSION}")
        elseif(requirement)
            list(APPEND requires "${requirement}")
        elseif(used STREQUAL "Threads::Threads")
            string(APPEND libs " -pthread")
        elseif(used STREQUAL "Boost::headers")
            get_target_property(directories Boost::headers INTERFACE_INCLUDE_DIRECTORIES)
            list(REMOVE_ITEM directories ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES})
            foreach(directory IN LISTS directories)
                string(APPEND cflags " -isystem ${directory}")
            endforeach()
        endif()
    endforeach()
    list(JOIN requires ", " requires)

    # From <prefix>/<libdir>/pkgconfig back to <prefix>, wherever that was moved to.
    file(RELATIVE_PATH up "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
    string(REGEX REPLACE "/$" "" up "${up}")
    configure_file("${PROJECT_SOURCE_DIR}/cmake/velostream.pc.in" "${PROJECT_BINARY_DIR}/package/velostream-${name}.pc" @ONLY)
    install(FILES "${PROJECT_BINARY_DIR}/package/velostream-${name}.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endfunction()

# Writes and installs what belongs to the package as a whole. Called once, after every library.
function(velostream_install_package)
    get_property(velostream_components GLOBAL PROPERTY velostream_libraries)
    configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/velostreamConfig.cmake.in"
        "${PROJECT_BINARY_DIR}/package/velostreamConfig.cmake" INSTALL_DESTINATION "${velostream_package_dir}")

    # docs/versioning.md: before 1.0 every minor version may change the interface.
    set(compatibility SameMajorVersion)
    if(PROJECT_VERSION_MAJOR EQUAL 0)
        set(compatibility SameMinorVersion)
    endif()
    write_basic_package_version_file("${PROJECT_BINARY_DIR}/package/velostreamConfigVersion.cmake" COMPATIBILITY ${compatibility})
    install(FILES
        "${PROJECT_BINARY_DIR}/package/velostreamConfig.cmake"
        "${PROJECT_BINARY_DIR}/package/velostreamConfigVersion.cmake"
        "${PROJECT_SOURCE_DIR}/cmake/FindRdKafka.cmake"
        DESTINATION "${velostream_package_dir}")
endfunction()
