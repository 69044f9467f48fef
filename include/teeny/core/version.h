#pragma once
#include <string>

namespace teeny {

struct VersionInfo {
  std::string version, git, build, compiler, libtorch, cuda;  // cuda empty: built for the CPU only
};
VersionInfo version_info();

}  // namespace teeny
