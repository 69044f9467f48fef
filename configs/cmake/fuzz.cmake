# Fuzz targets (tests/fuzz), built with clang: cmake -C configs/cmake/fuzz.cmake ...
set(CMAKE_CXX_COMPILER clang++ CACHE STRING "")
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(TEENY_ENGINE OFF CACHE BOOL "")
set(TEENY_TESTS OFF CACHE BOOL "")
set(TEENY_FUZZ ON CACHE BOOL "")
set(TEENY_SANITIZE "fuzzer-no-link,address,undefined" CACHE STRING "")
