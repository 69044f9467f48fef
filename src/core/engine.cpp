#include "teeny/core/engine.h"

#include <dlfcn.h>

#include <filesystem>

#include "teeny/core/env.h"
#include "teeny/core/error.h"

namespace teeny {

Engine& load_engine() {
  static Engine* engine = nullptr;
  if (engine) return *engine;
  // GNU OpenMP's threads spin while they wait. By default so long that on a busy machine they starve the thread they wait
  // for: decoding fell from 178 to 17 tokens/s at load 5 on 2 cores. A short spin costs about a tenth on an idle machine.
  set_env_default("GOMP_SPINCOUNT", "2000");
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path here = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  std::string problem = "libteeny_engine.so is not beside the executable";
  for (const auto& candidate : {here / "libteeny_engine.so", here.parent_path() / "lib/teeny/libteeny_engine.so"}) {
    if (!fs::exists(candidate)) continue;
    void* library = ::dlopen(candidate.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
      problem = ::dlerror();
      continue;
    }
    using Create = Engine*();
    if (auto* create = reinterpret_cast<Create*>(::dlsym(library, "teeny_engine_create"))) {
      engine = create();
      return *engine;
    }
    problem = "it has no teeny_engine_create";
  }
  throw device_error("engine", "libteeny_engine.so", "cannot be loaded: {}; reinstall teeny, or build with -DTEENY_ENGINE=ON", problem);
}

}  // namespace teeny
