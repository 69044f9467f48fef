// The only place that reads the environment.
#pragma once
#include <optional>
#include <string>

namespace teeny {

std::optional<std::string> env(const char* name);  // set and not empty
bool env_hides_gpus();                             // CUDA_VISIBLE_DEVICES is set, to nothing or to -1
void set_env_default(const char* name, const char* value);  // for libraries that read it when they are loaded; set values stay
std::string cache_directory();                     // TEENY_CACHE, else XDG_CACHE_HOME/teeny, else ~/.cache/teeny

}  // namespace teeny
