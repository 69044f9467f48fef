# Address and undefined-behaviour sanitizers over the torch-free half: parsers, plan, judge, statistics, report, cli.
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(TEENY_ENGINE OFF CACHE BOOL "")
set(TEENY_CUDA OFF CACHE STRING "")
set(TEENY_SANITIZE "address,undefined" CACHE STRING "")
