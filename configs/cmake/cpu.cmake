# No CUDA even where nvcc is found.
set(CMAKE_BUILD_TYPE Release CACHE STRING "")
set(TEENY_CUDA OFF CACHE STRING "")
