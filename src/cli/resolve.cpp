#include "cli/resolve.h"

#include <algorithm>
#include <filesystem>

#include "cli/options.h"
#include "cli/output.h"
#include "teeny/core/env.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"
#include "teeny/core/version.h"
#include "teeny/hub/hub.h"

namespace teeny::cli {
namespace fs = std::filesystem;
namespace {

constexpr const char* kShippedModel = "teeny-demo-7m";

std::vector<std::string> names_in(const std::string& directory, const std::string& extension) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (extension.empty() ? it->is_directory(error) : it->path().extension() == extension)
      names.push_back(extension.empty() ? it->path().filename().string() : it->path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

fs::path canonical(const std::string& path) {
  std::error_code error;
  fs::path result = fs::weakly_canonical(path, error);
  if (error) result = fs::absolute(path, error);
  if (!result.has_filename() && result.has_parent_path() && result != result.root_path()) result = result.parent_path();  // "dir/"
  return result;
}

bool is_inside(const fs::path& inner, const fs::path& outer) {
  const auto [o, i] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return o == outer.end();
}

bool looks_like_model(const fs::path& directory) {
  std::error_code error;
  if (fs::is_empty(directory, error)) return true;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    const auto name = it->path().filename();
    if (name == "config.json" || it->path().extension() == ".safetensors" || it->path().extension() == ".gguf") return true;
  }
  return false;
}

}  // namespace

std::string resolve_model(const std::string& typed, Context& context, bool config_only) {
  const std::string models = path_join(config_directory(), "models");
  const std::string name = typed.empty() ? kShippedModel : typed;
  if (!typed.empty() && path_exists(typed)) return typed;
  if (name.find('/') == std::string::npos && name[0] != '.' && is_directory(path_join(models, name))) return path_join(models, name);
  if (typed.empty())
    throw input_error("model", models, "holds no {}, the model that ships with teeny; reinstall teeny, or give --model", kShippedModel);
  if (const auto id = parse_model_id(typed)) return fetch_model(*id, hub_settings(), context, config_only);
  const auto shipped = names_in(models, "");
  const std::string near = nearest(typed, shipped);
  throw input_error("model", typed, "no such file or directory; give a Hugging Face directory, a .safetensors or .gguf file, an id of the Hugging Face hub (org/name), or a shipped model ({}){}",
                    fmt::join(shipped, ", "), near.empty() ? "" : "; did you mean " + near + "?");
}

std::string resolve_calibration(const std::string& typed, Context& context) {
  if (typed.empty() || typed == "self" || path_exists(typed)) return typed;
  const auto id = parse_dataset_id(typed);
  return id ? fetch_dataset_file(*id, hub_settings(), context) : typed;
}

std::string model_stem(const std::string& path) {
  const fs::path typed(path);
  const auto extension = typed.extension();
  if (!is_directory(path) && (extension == ".gguf" || extension == ".safetensors")) {
    // A file named model.safetensors says nothing; its directory does. (The file itself may be a link to a blob without
    // a name, in the hub's cache.)
    if (typed.stem() == "model") return model_folder_name(canonical(typed.has_parent_path() ? typed.parent_path().string() : ".").string());
    return typed.stem().string();
  }
  return model_folder_name(canonical(path).string());
}

void check_output(const OutputCheck& check) {
  const fs::path out = canonical(check.out);
  for (const auto& input : check.inputs) {
    if (input.empty()) continue;
    const fs::path in = canonical(input);
    if (in == out) throw usage_error("output", check.out, "is the input too, and would be destroyed; give another --out");
    if (path_exists(check.out) && is_inside(in, out))
      throw usage_error("output", check.out, "holds the input {}, which would be destroyed; give another --out", input);
    if (is_directory(input) && is_inside(out, in))
      throw usage_error("output", check.out, "lies inside the input {}; give another --out", input);
  }
  std::error_code error;
  if (!fs::exists(out, error)) return require_writable(check.out, "--out");
  if (!check.force) throw usage_error("output", check.out, "exists; pass --force to replace it, or give another --out");
  if (is_inside(canonical("."), out)) throw usage_error("output", check.out, "is or holds the current directory; give another --out");
  if (fs::is_directory(out, error) ? !looks_like_model(out) : !fs::is_regular_file(out, error))
    throw usage_error("output", check.out, "does not look like a model, so --force does not replace it; give another --out, or remove it yourself");
}

void require_file(const std::string& path, const std::string& option) {
  if (path.empty()) return;
  if (!path_exists(path)) throw input_error("input", path, "no such file (given with {})", option);
  if (is_directory(path)) throw input_error("input", path, "is a directory; {} takes a file", option);
}

std::string resolve_device(const std::string& typed) {
  if (typed == "cpu") return typed;
  if (typed == "cuda") return "cuda:0";
  if (typed.rfind("cuda:", 0) == 0) return fmt::format("cuda:{}", parse_integer(typed.substr(5), 0, 127, "--device"));
  if (typed != "auto") throw usage_error("usage", "--device", "'{}' is not a device; give auto, cpu, cuda or cuda:N", typed);
  if (version_info().cuda.empty() || env_hides_gpus()) return "cpu";
  std::error_code error;
  for (fs::directory_iterator it("/dev", error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.size() > 6 && name.rfind("nvidia", 0) == 0 && std::isdigit(static_cast<unsigned char>(name[6]))) return "cuda:0";
  }
  return "cpu";
}

std::vector<std::string> hardware_profiles() { return names_in(path_join(config_directory(), "hw"), ".json"); }

void require_hardware(const std::string& name) {
  if (name.size() > 5 && name.compare(name.size() - 5, 5, ".json") == 0) return require_file(name, "--hw");
  const auto known = hardware_profiles();
  if (name.empty() || std::count(known.begin(), known.end(), name)) return;
  const std::string near = nearest(name, known);
  throw usage_error("usage", "--hw", "'{}' is not a known hardware profile; known: {}; or give a profile's path, ending in .json{}", name, fmt::join(known, ", "),
                    near.empty() ? "" : "; did you mean " + near + "?");
}

}  // namespace teeny::cli
