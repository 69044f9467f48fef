#include "cli/fetch.h"

#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "teeny/core/error.h"
#include "teeny/core/file.h"

extern char** environ;

namespace teeny::cli {
namespace fs = std::filesystem;
namespace {

int run_curl(const std::string& url, const std::string& out, uint64_t bytes) {
  const bool local = url.rfind("file://", 0) == 0;
  const std::string most = std::to_string(bytes);
  const char* arguments[] = {"curl", "--fail", "--silent", "--show-error", "--location", "--max-redirs", "5", "--proto", local ? "=file" : "=https", "--proto-redir", "=https",
                             "--connect-timeout", "20", "--retry", "2", "--max-filesize", most.c_str(), "--output", out.c_str(), "--", url.c_str(), nullptr};
  pid_t child = 0;
  const int failed = ::posix_spawnp(&child, "curl", nullptr, nullptr, const_cast<char**>(arguments), environ);
  if (failed != 0) throw device_error("fetch", "curl", "cannot be started ({}); install it: apt install curl", std::strerror(failed));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Manifests are ours, yet a name must never leave its folder.
std::string safe_name(const Json& file) {
  const std::string name = file.at("path").get<std::string>();
  if (name.empty() || name[0] == '.' || name.find('/') != std::string::npos) throw input_error("fetch", name, "is not a plain file name");
  return name;
}

bool is_intact(const std::string& path, const Json& file) {
  return path_exists(path) && !is_directory(path) && sha256_file(path) == file.at("sha256").get<std::string>();
}

}  // namespace

Json load_manifest(const std::string& name) { return read_json_file(path_join(path_join(config_directory(), "eval"), name + ".json"), "fetch", 1 << 20); }

bool set_is_present(const Json& manifest, const std::string& cache) {
  const std::string folder = path_join(cache, manifest.at("name").get<std::string>());
  for (const auto& file : manifest.at("files"))
    if (!path_exists(path_join(folder, safe_name(file)))) return false;
  return true;
}

std::string fetch_set(const Json& manifest, const std::string& cache, const Context& context) {
  const std::string folder = path_join(cache, manifest.at("name").get<std::string>());
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw device_error("fetch", folder, "cannot be created: {}; set TEENY_CACHE to a folder that can", error.message());
  for (const auto& file : manifest.at("files")) {
    const std::string path = path_join(folder, safe_name(file)), part = path + ".part", url = file.at("url").get<std::string>();
    if (is_intact(path, file)) continue;
    context.check_interrupted();
    require_free_space(path, file.at("bytes").get<uint64_t>());
    const int code = run_curl(url, part, file.at("bytes").get<uint64_t>());
    context.check_interrupted();
    const bool good = code == 0 && is_intact(part, file);
    const std::string got = code == 0 && !good ? sha256_file(part) : "";
    if (good) fs::rename(part, path, error);
    if (!good) fs::remove(part, error);
    if (code != 0) throw device_error("fetch", url, "the download failed (curl's exit code {}); check the network, or put the file at {} yourself", code, path);
    if (!good) throw input_error("fetch", url, "its sha256 is {}, pinned is {}; the file was not kept", got, file.at("sha256").get<std::string>());
    if (error) throw device_error("fetch", path, "cannot be written: {}", error.message());
    context.info("fetched " + path);
  }
  return folder;
}

}  // namespace teeny::cli
