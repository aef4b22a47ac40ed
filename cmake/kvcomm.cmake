# How every folder is compiled and every test registered.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers)
add_compile_definitions(OMPI_SKIP_MPICXX=1)
if(NOT CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_definitions(_GLIBCXX_ASSERTIONS)  # not _GLIBCXX_DEBUG: libtorch is prebuilt without it
endif()
if(KVCOMM_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
if(KVCOMM_FUZZ)
  # toml++ 3.3 calls letters such as é unreachable where it looks for white space.
  add_compile_options(-fsanitize=fuzzer-no-link -fno-sanitize=unreachable)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_PCH_EXTSUM=1 ${CCACHE})
  add_compile_options(-fpch-preprocess)
endif()

# kvc_library(text SOURCES ... LINKS ...): the folder src/text as the static library kvc_text.
# LINKS are the only folders whose headers it may include: the arrows of the architecture.
function(kvc_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_library(kvc_${name} STATIC ${ARG_SOURCES})
  target_include_directories(kvc_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(kvc_${name} PUBLIC ${ARG_LINKS})
  if("kvc::torch" IN_LIST ARG_LINKS)
    target_precompile_headers(kvc_${name} REUSE_FROM kvc_torch_pch)
  endif()
endfunction()

# kvc_embed(FILE HEADER SYMBOL): the file's content as the text that the header declares, made anew
# whenever the file changes; the source to add is then in ${SYMBOL}_SOURCE.
function(kvc_embed file header symbol)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} content)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.cpp)
  file(CONFIGURE OUTPUT ${source} @ONLY CONTENT [==[
#include "@header@"
namespace kvcomm {
const std::string_view @symbol@ = R"TEXT(@content@)TEXT";
}
]==])
  set(${symbol}_SOURCE ${source} PARENT_SCOPE)
endfunction()

# kvc_kernels(ops a.cu ...): CUDA kernels as objects of the library kvc_ops. nvcc is called here, not as a language of
# CMake's, which would link every program that has one through nvcc.
function(kvc_kernels name)
  if(NOT KVCOMM_NVCC)
    return()
  endif()
  foreach(source ${ARGN})
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${source}.o)
    add_custom_command(
      OUTPUT ${object} DEPFILE ${object}.d
      COMMAND ${KVCOMM_NVCC} -std=c++17 -O3 --fmad=false -lineinfo ${KVCOMM_GPU_CODE} -Xcompiler -fPIC
              -I${CMAKE_SOURCE_DIR}/src -MD -MF ${object}.d -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${source} COMMENT "Compiling kernels of ${source}" VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  add_custom_target(kvc_${name}_kernels DEPENDS ${objects})
  target_sources(kvc_${name} PRIVATE ${objects})
  target_compile_definitions(kvc_${name} PUBLIC KVCOMM_NVCC=1)
  target_link_libraries(kvc_${name} PRIVATE kvc::cuda_headers)
endfunction()

# kvc_test(name SOURCES a.cpp ... LINKS kvc_x ... [RANKS n] [LABELS l ...] [TIMEOUT s]): one GoogleTest
# program, run by itself or, with RANKS, under mpirun; a rank that fails ends the job.
function(kvc_test name)
  cmake_parse_arguments(ARG "" "RANKS;TIMEOUT" "SOURCES;LINKS;LABELS;ENVIRONMENT" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  if(ARG_RANKS)
    set(main kvc_mpi_test_main)
  else()
    set(main kvc_test_main)
  endif()
  target_link_libraries(${name} PRIVATE ${ARG_LINKS} kvc_test_support ${main})
  target_compile_definitions(${name} PRIVATE KVCOMM_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                             KVCOMM_BINARY_DIR="${CMAKE_BINARY_DIR}")
  kvc_ctest(${name} RANKS "${ARG_RANKS}" TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
            ENVIRONMENT "${ARG_ENVIRONMENT}" COMMAND $<TARGET_FILE:${name}>)
endfunction()

# kvc_ctest(name COMMAND ... [RANKS n] [TIMEOUT s] [LABELS ...]): any command as a test; exit 77 skips.
function(kvc_ctest name)
  cmake_parse_arguments(ARG "" "RANKS;TIMEOUT" "COMMAND;LABELS;ENVIRONMENT" ${ARGN})
  set(processors 1)
  if(ARG_RANKS)
    set(processors ${ARG_RANKS})
    set(ARG_COMMAND ${MPIEXEC_EXECUTABLE} -np ${ARG_RANKS} --oversubscribe --bind-to none
        --mca mpi_yield_when_idle 1 ${ARG_COMMAND})
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_test(NAME ${name} COMMAND ${ARG_COMMAND})
  set(environment OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1
      XDG_CACHE_HOME=${CMAKE_BINARY_DIR}/cache
      ASAN_OPTIONS=detect_leaks=0:detect_container_overflow=0 ${ARG_ENVIRONMENT})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} PROCESSORS ${processors}
    SKIP_RETURN_CODE 77 LABELS "${ARG_LABELS}" ENVIRONMENT "${environment}")
endfunction()
