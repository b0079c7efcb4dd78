# With CMAKE_UNITY_BUILD the sources of a folder are compiled as one file: the headers of nlohmann_json, CLI11 and
# ATen are what compiling takes its time for, and they are read and instantiated once a folder instead of once a file.

# For a target with many sources. A source that includes a header which must stay alone can be left out by its
# property SKIP_UNITY_BUILD_INCLUSION.
function(sagesan_unite target)
  get_target_property(sources "${target}" SOURCES)
  foreach(source IN LISTS sources)
    get_filename_component(folder "${source}" DIRECTORY)
    get_filename_component(folder "${folder}" NAME)
    set_property(SOURCE "${source}" TARGET_DIRECTORY "${target}" PROPERTY UNITY_GROUP "${folder}")
  endforeach()
  set_target_properties("${target}" PROPERTIES UNITY_BUILD_MODE GROUP)
endfunction()
