#include "teeny/core/version.h"

#include "teeny_version.h"

namespace teeny {

VersionInfo version_info() { return {TEENY_VERSION, TEENY_GIT, TEENY_BUILD_TYPE, TEENY_COMPILER, TEENY_TORCH_VERSION, TEENY_CUDA_VERSION}; }

}  // namespace teeny
