# The default: optimised, CUDA kernels when nvcc is there.
set(CMAKE_BUILD_TYPE Release CACHE STRING "")
