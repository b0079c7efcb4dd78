# Finds the ATen part of libtorch and makes the imported target Libtorch::torch.
#
# Looked for in this order: Torch_DIR and CMAKE_PREFIX_PATH, Libtorch_HINT (an installed sagesan says
# there what it was built with), the active Python's `torch` package, Debian's libtorch-dev. `find_package(Torch)` is not used: with a CUDA build of PyTorch it stops
# where no CUDA toolkit is installed, and sagesan needs none. A build with the old C++ ABI
# (_GLIBCXX_USE_CXX11_ABI=0) is refused: its std::string is not ours.
#
# Sets Libtorch_ROOT, Libtorch_VERSION, Libtorch_CUDA (TRUE where the CUDA libraries are there).

set(_libtorch_hints "")
if(Torch_DIR)
  # .../share/cmake/Torch -> ...
  get_filename_component(_libtorch_from_dir "${Torch_DIR}/../../.." ABSOLUTE)
  list(APPEND _libtorch_hints "${_libtorch_from_dir}")
endif()
foreach(_prefix IN LISTS CMAKE_PREFIX_PATH)
  list(APPEND _libtorch_hints "${_prefix}" "${_prefix}/../..")
endforeach()
if(Libtorch_HINT)
  list(APPEND _libtorch_hints "${Libtorch_HINT}")
else()
  find_program(_libtorch_python NAMES python3)
endif()
if(_libtorch_python AND NOT Libtorch_HINT)
  # Where the package lies; it is not imported, which would take seconds.
  execute_process(
    COMMAND "${_libtorch_python}" -c
      "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s and s.submodule_search_locations else '')"
    OUTPUT_VARIABLE _libtorch_package OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(_libtorch_package AND EXISTS "${_libtorch_package}/include/ATen/core/Tensor.h")
    list(APPEND _libtorch_hints "${_libtorch_package}")
  endif()
endif()
list(APPEND _libtorch_hints /usr)

find_path(Libtorch_INCLUDE_DIR ATen/core/Tensor.h
  HINTS ${_libtorch_hints} PATH_SUFFIXES include NO_DEFAULT_PATH)
get_filename_component(Libtorch_ROOT "${Libtorch_INCLUDE_DIR}" DIRECTORY)
set(_libtorch_lib_dirs "${Libtorch_ROOT}/lib" "${Libtorch_ROOT}/lib/${CMAKE_CXX_LIBRARY_ARCHITECTURE}"
  "/usr/lib/${CMAKE_CXX_LIBRARY_ARCHITECTURE}")
foreach(_library IN ITEMS c10 torch_cpu c10_cuda torch_cuda)
  find_library(Libtorch_${_library} ${_library} HINTS ${_libtorch_lib_dirs} NO_DEFAULT_PATH)
  mark_as_advanced(Libtorch_${_library})
endforeach()
mark_as_advanced(Libtorch_INCLUDE_DIR)

if(Libtorch_INCLUDE_DIR)
  # Newer releases keep the numbers in torch/headeronly/version.h.
  foreach(_header IN ITEMS torch/csrc/api/include/torch/version.h torch/headeronly/version.h)
    foreach(_part IN ITEMS MAJOR MINOR PATCH)
      if(EXISTS "${Libtorch_INCLUDE_DIR}/${_header}")
        file(STRINGS "${Libtorch_INCLUDE_DIR}/${_header}" _line REGEX "define TORCH_VERSION_${_part} +[0-9]+")
        if(_line)
          string(REGEX MATCH "[0-9]+" _libtorch_${_part} "${_line}")
        endif()
      endif()
    endforeach()
  endforeach()
  set(Libtorch_VERSION "${_libtorch_MAJOR}.${_libtorch_MINOR}.${_libtorch_PATCH}")
endif()
if(Libtorch_torch_cpu)
  # The new ABI puts std::string into the inline namespace __cxx11: look for it in the symbols.
  file(STRINGS "${Libtorch_c10}" _abi REGEX "__cxx11" LIMIT_COUNT 1)
  if(NOT _abi)
    message(FATAL_ERROR "The libtorch at ${Libtorch_ROOT} was built with the old C++ ABI. "
      "Use Debian's libtorch-dev or a PyPI torch of 2.6 or later.")
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Libtorch
  REQUIRED_VARS Libtorch_torch_cpu Libtorch_c10 Libtorch_INCLUDE_DIR
  VERSION_VAR Libtorch_VERSION
  REASON_FAILURE_MESSAGE "install libtorch-dev, or set Torch_DIR or CMAKE_PREFIX_PATH")

if(Libtorch_FOUND AND NOT TARGET Libtorch::torch)
  set(Libtorch_CUDA FALSE)
  set(_libtorch_includes "${Libtorch_INCLUDE_DIR}")
  if(EXISTS "${Libtorch_INCLUDE_DIR}/fmt" AND NOT Libtorch_INCLUDE_DIR STREQUAL "/usr/include")
    # PyPI's package brings headers of another fmt without its library: ours must be found first.
    find_package(fmt REQUIRED)
    get_target_property(_libtorch_fmt fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
    file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/own_fmt")
    file(CREATE_LINK "${_libtorch_fmt}/fmt" "${CMAKE_BINARY_DIR}/own_fmt/fmt" SYMBOLIC)
    list(PREPEND _libtorch_includes "${CMAKE_BINARY_DIR}/own_fmt")
  endif()
  foreach(_library IN ITEMS c10 torch_cpu c10_cuda torch_cuda)
    if(Libtorch_${_library})
      add_library(Libtorch::${_library} SHARED IMPORTED)
      set_target_properties(Libtorch::${_library} PROPERTIES
        IMPORTED_LOCATION "${Libtorch_${_library}}"
        INTERFACE_INCLUDE_DIRECTORIES "${_libtorch_includes}")
    endif()
  endforeach()
  add_library(Libtorch::torch INTERFACE IMPORTED)
  target_link_libraries(Libtorch::torch INTERFACE Libtorch::torch_cpu Libtorch::c10)
  if(TARGET Libtorch::torch_cuda AND TARGET Libtorch::c10_cuda)
    set(Libtorch_CUDA TRUE)
    # Kernels register themselves when the library is loaded; nothing here names their symbols.
    get_filename_component(_libtorch_lib_dir "${Libtorch_torch_cuda}" DIRECTORY)
    target_link_options(Libtorch::torch INTERFACE
      "LINKER:--push-state,--no-as-needed,${Libtorch_torch_cuda},${Libtorch_c10_cuda},--pop-state"
      "LINKER:-rpath-link,${_libtorch_lib_dir}")
  endif()
  message(STATUS "libtorch ${Libtorch_VERSION} at ${Libtorch_ROOT}, CUDA: ${Libtorch_CUDA}")
endif()
