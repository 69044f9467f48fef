# Thread sanitizer over the torch-free half.
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(TEENY_ENGINE OFF CACHE BOOL "")
set(TEENY_CUDA OFF CACHE STRING "")
set(TEENY_SANITIZE "thread" CACHE STRING "")
