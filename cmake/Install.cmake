# cmake --install: the program, its module, the libraries with their headers and CMake package, and
# what the program prints about itself (manual page, completion scripts).

include(CMakePackageConfigHelpers)

set_target_properties(sagesan_io PROPERTIES EXPORT_NAME io)
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/sagesan")

install(TARGETS sagesan_cli RUNTIME)
install(TARGETS sagesan_jobs LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}/sagesan")
install(TARGETS sagesan sagesan_io EXPORT sagesan ARCHIVE)
install(DIRECTORY include/sagesan TYPE INCLUDE)
install(EXPORT sagesan NAMESPACE sagesan:: FILE sagesanTargets.cmake DESTINATION "${package_dir}")

configure_package_config_file(cmake/sagesanConfig.cmake.in sagesanConfig.cmake
  INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file(sagesanConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/sagesanConfig.cmake" "${PROJECT_BINARY_DIR}/sagesanConfigVersion.cmake"
  cmake/FindLibtorch.cmake DESTINATION "${package_dir}")

# Printed by the program itself, from the definitions of its options.
set(printed_dir "${PROJECT_BINARY_DIR}/printed")
file(MAKE_DIRECTORY "${printed_dir}")
set(printed "")
foreach(pair IN ITEMS man:sagesan.1 bash:sagesan zsh:_sagesan fish:sagesan.fish)
  string(REGEX MATCH "^(.*):(.*)$" _ "${pair}")
  add_custom_command(OUTPUT "${printed_dir}/${CMAKE_MATCH_2}"
    COMMAND sagesan_cli completion ${CMAKE_MATCH_1} > "${printed_dir}/${CMAKE_MATCH_2}"
    DEPENDS sagesan_cli VERBATIM)
  list(APPEND printed "${printed_dir}/${CMAKE_MATCH_2}")
endforeach()
add_custom_target(sagesan_printed ALL DEPENDS ${printed})
install(FILES "${printed_dir}/sagesan.1" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
install(FILES "${printed_dir}/sagesan"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions")
install(FILES "${printed_dir}/_sagesan" DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/site-functions")
install(FILES "${printed_dir}/sagesan.fish"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")
