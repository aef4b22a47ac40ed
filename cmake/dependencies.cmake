# The libraries that kvcomm stands on, as kvc::* targets, each with the sentence that helps when it is missing.
set(KVCOMM_VENV ${CMAKE_SOURCE_DIR}/.venv CACHE PATH "Virtual environment that holds the torch wheel (launch/setup.sh makes it)")

# ---- libtorch, linked by path: TorchConfig.cmake insists on a CUDA toolkit that the CPU build does not need
file(GLOB KVCOMM_SITE_PACKAGES ${KVCOMM_VENV}/lib/python3*/site-packages)
set(KVCOMM_TORCH ${KVCOMM_SITE_PACKAGES}/torch CACHE PATH "The folder of Python's torch package")
if(NOT EXISTS ${KVCOMM_TORCH}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "No libtorch at '${KVCOMM_TORCH}/lib': run launch/setup.sh, or pass "
                      "-DKVCOMM_TORCH=<the torch package's folder>.")
endif()
if(KVCOMM_CUDA AND NOT EXISTS ${KVCOMM_TORCH}/lib/libtorch_cuda.so)
  message(FATAL_ERROR "The libtorch at '${KVCOMM_TORCH}' has no CUDA half (lib/libtorch_cuda.so): name one that has, or "
                      "build for the CPU (preset release, KVCOMM_GPU=no launch/setup.sh).")
endif()
set(torch_version "unknown")
if(EXISTS ${KVCOMM_TORCH}/version.py)
  file(STRINGS ${KVCOMM_TORCH}/version.py torch_version REGEX "^__version__")
  string(REGEX REPLACE ".*'(.*)'.*" "\\1" torch_version "${torch_version}")
endif()
if(NOT torch_version MATCHES "^2\\.11\\.")
  message(WARNING "The libtorch at '${KVCOMM_TORCH}' is version ${torch_version}. kvcomm is built and tested with 2.11: with "
                  "another it may not compile, and answers may differ in the last bits.")
endif()
# Wheels up to 2.6 have std::string in its layout of before C++11, with which no other library here can be linked.
set(torch_config ${KVCOMM_TORCH}/share/cmake/Torch/TorchConfig.cmake)
if(EXISTS ${torch_config})
  file(STRINGS ${torch_config} old_abi REGEX "_GLIBCXX_USE_CXX11_ABI=0")
  if(old_abi)
    message(FATAL_ERROR "The libtorch at '${KVCOMM_TORCH}' (${torch_version}) is built with _GLIBCXX_USE_CXX11_ABI=0, which "
                        "cannot be linked with the other libraries: use PyTorch 2.11.")
  endif()
endif()
get_filename_component(KVCOMM_TORCH_SITE ${KVCOMM_TORCH} DIRECTORY)
add_library(kvc_torch INTERFACE)
add_library(kvc::torch ALIAS kvc_torch)
# The wheel's include folder also bundles other libraries (a newer fmt among them) that would hide Debian's:
# only torch's own folders are shown to the compiler.
foreach(folder ATen c10 caffe2 torch)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/torch_include)
  file(CREATE_LINK ${KVCOMM_TORCH}/include/${folder} ${CMAKE_BINARY_DIR}/torch_include/${folder} SYMBOLIC)
endforeach()
target_include_directories(kvc_torch SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/torch_include)
target_link_libraries(kvc_torch INTERFACE ${KVCOMM_TORCH}/lib/libtorch_cpu.so ${KVCOMM_TORCH}/lib/libc10.so)
# at::parallel_for is an inline function that starts no threads where it is compiled without OpenMP.
target_compile_options(kvc_torch INTERFACE -fopenmp)
target_link_options(kvc_torch INTERFACE -fopenmp)
set(CMAKE_BUILD_RPATH ${KVCOMM_TORCH}/lib)
file(GLOB KVCOMM_NVIDIA_LIBS LIST_DIRECTORIES true ${KVCOMM_TORCH_SITE}/nvidia/*/lib)
list(APPEND CMAKE_BUILD_RPATH ${KVCOMM_NVIDIA_LIBS})
# libtorch finds CUDA's libraries through the program's own (old-style) rpath.
add_link_options(-Wl,--disable-new-dtags LINKER:--allow-shlib-undefined)

# ---- CUDA and NCCL: of the wheels, which are libtorch's own versions, else the system's. CMake looks into PATHS last,
# so that each is looked for twice.
# cuda_runtime_api.h includes crt/, which comes by a wheel of its own: a folder without it is passed over.
function(kvc_has_crt accepted folder)
  if(NOT EXISTS ${folder}/crt/host_defines.h)
    set(${accepted} FALSE PARENT_SCOPE)
  endif()
endfunction()
function(kvc_require_cuda variable what wheels)
  if(NOT ${variable})
    message(FATAL_ERROR "The CUDA build needs ${what}, which is neither in '${KVCOMM_TORCH_SITE}/nvidia' nor in "
                        "/usr/local/cuda, $CUDA_HOME or the system's folders: install ${wheels} (KVCOMM_GPU=yes "
                        "launch/setup.sh does), or set ${variable}.")
  endif()
endfunction()
set(KVCOMM_GPU_CODE -gencode=arch=compute_75,code=sm_75 -gencode=arch=compute_80,code=sm_80 -gencode=arch=compute_90,code=sm_90
    -gencode=arch=compute_100,code=[sm_100,compute_100] CACHE STRING "The GPUs that nvcc compiles for")
set(KVCOMM_CUDA_FOLDERS /usr/local/cuda $ENV{CUDA_HOME})
if(KVCOMM_CUDA OR KVCOMM_CUDA_OBJECTS)
  find_path(KVCOMM_CUDA_INCLUDE cuda_runtime_api.h PATHS ${KVCOMM_TORCH_SITE}/nvidia/cu13/include NO_DEFAULT_PATH
            VALIDATOR kvc_has_crt)
  find_path(KVCOMM_CUDA_INCLUDE cuda_runtime_api.h PATHS ${KVCOMM_CUDA_FOLDERS} PATH_SUFFIXES include
            VALIDATOR kvc_has_crt)
  find_path(KVCOMM_NCCL_INCLUDE nccl.h PATHS ${KVCOMM_TORCH_SITE}/nvidia/nccl/include NO_DEFAULT_PATH)
  find_path(KVCOMM_NCCL_INCLUDE nccl.h PATHS ${KVCOMM_CUDA_FOLDERS} PATH_SUFFIXES include)
  kvc_require_cuda(KVCOMM_CUDA_INCLUDE "a folder with cuda_runtime_api.h and crt/host_defines.h"
                   "the wheels nvidia-cuda-runtime and nvidia-cuda-crt or the CUDA toolkit")
  kvc_require_cuda(KVCOMM_NCCL_INCLUDE "nccl.h" "the wheel nvidia-nccl-cu13 or NCCL")
  # Kernels of our own; without nvcc libtorch's stand in for them, of which more are launched.
  find_program(KVCOMM_NVCC nvcc PATHS ${KVCOMM_CUDA_FOLDERS} PATH_SUFFIXES bin)
  if(NOT KVCOMM_NVCC)
    message(WARNING "No nvcc in PATH, /usr/local/cuda or $CUDA_HOME: norms, rotary positions, gates and checksums run "
                    "through libtorch's kernels, which are slower. Install CUDA 13's nvcc, or set KVCOMM_NVCC.")
    set(KVCOMM_NVCC "")
  endif()
  add_library(kvc_cuda_headers INTERFACE)
  add_library(kvc::cuda_headers ALIAS kvc_cuda_headers)
  target_include_directories(kvc_cuda_headers SYSTEM INTERFACE ${KVCOMM_CUDA_INCLUDE} ${KVCOMM_NCCL_INCLUDE})
endif()
if(KVCOMM_CUDA)
  find_library(KVCOMM_CUDART NAMES libcudart.so.13 PATHS ${KVCOMM_NVIDIA_LIBS} NO_DEFAULT_PATH)
  find_library(KVCOMM_CUDART NAMES cudart libcudart.so.13 libcudart.so.12
               PATHS ${KVCOMM_CUDA_FOLDERS} PATH_SUFFIXES lib64 lib)
  find_library(KVCOMM_NCCL NAMES libnccl.so.2 PATHS ${KVCOMM_NVIDIA_LIBS} NO_DEFAULT_PATH)
  find_library(KVCOMM_NCCL NAMES nccl libnccl.so.2 PATHS ${KVCOMM_CUDA_FOLDERS} PATH_SUFFIXES lib64 lib)
  kvc_require_cuda(KVCOMM_CUDART "libcudart" "the wheel nvidia-cuda-runtime or the CUDA toolkit")
  kvc_require_cuda(KVCOMM_NCCL "libnccl" "the wheel nvidia-nccl-cu13 or NCCL")
  # libtorch_cuda registers its kernels when loaded, though nothing here calls into it by name.
  target_link_libraries(kvc_torch INTERFACE -Wl,--no-as-needed ${KVCOMM_TORCH}/lib/libtorch_cuda.so
    ${KVCOMM_TORCH}/lib/libc10_cuda.so -Wl,--as-needed ${KVCOMM_CUDART} ${KVCOMM_NCCL})
endif()

# ---- The others: by their packages for CMake, by pkg-config, or below CMAKE_PREFIX_PATH and NAME_ROOT
macro(kvc_find name debian conda)
  find_package(${name} QUIET ${ARGN})
  if(NOT ${name}_FOUND)
    kvc_missing(${name} ${debian} ${conda})
  endif()
endmacro()
function(kvc_missing name debian conda)
  message(FATAL_ERROR "${name} is not found: install Debian's ${debian} or conda-forge's ${conda} (launch/setup.sh installs "
                      "Debian's, without root too), or load your site's module and, where that is not enough, set "
                      "${name}_ROOT to the folder that has its include and lib.")
endfunction()

# kvc_find_library(PCRE2 pcre2.h pcre2-8 ...): as kvc::pcre2, by pkg-config or by its header and library.
function(kvc_find_library name header library debian conda)
  string(TOLOWER kvc::${name} target)
  set(roots ${${name}_ROOT} $ENV{${name}_ROOT})
  if(PKG_CONFIG_FOUND AND NOT roots)
    pkg_check_modules(${name} QUIET IMPORTED_TARGET GLOBAL lib${library})
  endif()
  if(TARGET PkgConfig::${name})
    add_library(${target} ALIAS PkgConfig::${name})
    return()
  endif()
  find_path(${name}_INCLUDE ${header} HINTS ${roots} PATH_SUFFIXES include)
  find_library(${name}_LIBRARY ${library} HINTS ${roots} PATH_SUFFIXES lib lib64)
  if(NOT ${name}_INCLUDE OR NOT ${name}_LIBRARY)
    kvc_missing(${name} ${debian} ${conda})
  endif()
  add_library(${target} UNKNOWN IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION ${${name}_LIBRARY}
                                             INTERFACE_INCLUDE_DIRECTORIES ${${name}_INCLUDE})
endfunction()

find_package(Threads REQUIRED)
find_package(PkgConfig QUIET)
kvc_find(MPI libopenmpi-dev openmpi COMPONENTS C)
kvc_find(HDF5 libhdf5-dev hdf5 COMPONENTS C)
kvc_find(CLI11 libcli11-dev cli11)
kvc_find(fmt libfmt-dev fmt)
kvc_find(spdlog libspdlog-dev spdlog)
kvc_find(nlohmann_json nlohmann-json3-dev nlohmann_json)
kvc_find(simdjson libsimdjson-dev simdjson)
kvc_find(tomlplusplus libtomlplusplus-dev tomlplusplus)
if(KVCOMM_FUZZ)  # compiled here, so that its branches are seen too; its assertions are off in Debian's build
  set_target_properties(tomlplusplus::tomlplusplus PROPERTIES INTERFACE_COMPILE_OPTIONS
    "-DTOML_HEADER_ONLY=1;-DTOML_ASSERT(condition)=static_cast<void>(0)")
endif()
kvc_find(GTest "libgtest-dev and libgmock-dev" gtest)
kvc_find_library(PCRE2 pcre2.h pcre2-8 libpcre2-dev pcre2)
kvc_find_library(UTF8PROC utf8proc.h utf8proc libutf8proc-dev libutf8proc)
kvc_find_library(XXHASH xxhash.h xxhash libxxhash-dev xxhash)

add_library(kvc_mpi INTERFACE)
add_library(kvc::mpi ALIAS kvc_mpi)
target_link_libraries(kvc_mpi INTERFACE MPI::MPI_C)
add_library(kvc_hdf5 INTERFACE)
add_library(kvc::hdf5 ALIAS kvc_hdf5)
target_include_directories(kvc_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_link_libraries(kvc_hdf5 INTERFACE ${HDF5_C_LIBRARIES})
target_compile_definitions(kvc_hdf5 INTERFACE ${HDF5_C_DEFINITIONS})
