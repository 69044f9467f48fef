#include "teeny/core/env.h"

#include <cstdlib>

namespace teeny {

std::optional<std::string> env(const char* name) {
  const char* value = std::getenv(name);
  if (!value || !*value) return std::nullopt;
  return std::string(value);
}

bool env_hides_gpus() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return visible && (!*visible || std::string(visible) == "-1");
}

void set_env_default(const char* name, const char* value) { ::setenv(name, value, /*overwrite=*/0); }

std::string cache_directory() {
  if (auto dir = env("TEENY_CACHE")) return *dir;
  if (auto dir = env("XDG_CACHE_HOME")) return *dir + "/teeny";
  return env("HOME").value_or("/tmp") + "/.cache/teeny";
}

}  // namespace teeny
