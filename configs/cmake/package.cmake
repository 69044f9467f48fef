# What is given to others: kernels for every GPU generation that is supported (the tests' build has 90a only, which compiles fast).
set(CMAKE_BUILD_TYPE Release CACHE STRING "")
set(CMAKE_CUDA_ARCHITECTURES "80;86;89;90a;120" CACHE STRING "")
