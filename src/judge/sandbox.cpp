#include "judge/sandbox.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "teeny/core/env.h"
#include "teeny/core/error.h"

namespace teeny::judge {
namespace fs = std::filesystem;
namespace {

constexpr const char* kTmpBytes = "67108864";     // 64 MiB of /tmp, and nothing else can be written
constexpr uint64_t kFileBytes = 64ull << 20;
constexpr rlim_t kOpenFiles = 256;
// System folders: real directories are bound, links (merged /usr) are made again.
const char* const kSystemFolders[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};

std::vector<std::string> search_path() {
  std::vector<std::string> out;
  std::string path = env("PATH").value_or("/usr/local/bin:/usr/bin:/bin");
  for (size_t at = 0; at <= path.size();) {
    size_t end = std::min(path.find(':', at), path.size());
    if (end > at && path[at] == '/') out.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

std::string find_program(const std::string& name) {
  std::vector<std::string> folders{"/usr/bin", "/bin", "/usr/local/bin"};
  for (const std::string& folder : search_path()) folders.push_back(folder);
  for (const std::string& folder : folders)
    if (std::string path = folder + "/" + name; access(path.c_str(), X_OK) == 0) return path;
  return "";
}

bool is_elf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char magic[4] = {};
  return file.read(magic, 4) && std::string_view(magic, 4) == "\x7f" "ELF";
}

bool under(const fs::path& path, const char* folder) {
  return path.string().starts_with(std::string(folder) + "/");
}

// The installation that holds <root>/bin/<interpreter>; just the file where that would show a whole home or disk.
std::string installation_root(const fs::path& real) {
  if (under(real, "/usr") || std::any_of(std::begin(kSystemFolders), std::end(kSystemFolders), [&](const char* f) { return under(real, f); })) return "";
  fs::path root = real.parent_path().parent_path();
  bool broad = root == "/" || root == "/root" || root.parent_path() == "/home" || root.string() == env("HOME").value_or("") ||
               real.parent_path().filename() != "bin";
  return broad ? real.string() : root.string();
}

}  // namespace

std::string_view tier_name(Tier tier) {
  switch (tier) {
    case Tier::Bubblewrap: return "bubblewrap";
    case Tier::Landlock: return "landlock";
    case Tier::Unsandboxed: return "unsandboxed";
    case Tier::None: break;
  }
  return "none";
}

namespace {

// The real path of the first that exists; "" when none does.
std::string find_companion(const Companion& companion) {
  for (const std::string& name : companion.tried) {
    std::error_code error;
    const std::string path = name.starts_with("/") ? name : find_program(name);
    if (path.empty()) continue;
    if (fs::path real = fs::canonical(path, error); !error && !access(real.c_str(), R_OK)) return real.string();
  }
  return "";
}

std::vector<std::string> interpreters(const Language& language) {
  std::vector<std::string> tried = language.preferred, out;
  for (const std::string& folder : search_path())
    for (const std::string& name : language.executables) tried.push_back(folder + "/" + name);
  for (const std::string& path : tried) {
    std::error_code error;
    fs::path real = fs::canonical(path, error);
    if (error || access(real.c_str(), X_OK) || !is_elf(real)) continue;
    if (std::find(out.begin(), out.end(), real.string()) == out.end()) out.push_back(real.string());
  }
  return out;
}

}  // namespace

std::vector<Toolchain> find_toolchains(const Language& language) {
  std::vector<Toolchain> out;
  std::vector<std::string> companions;
  for (const Companion& companion : language.companions)
    if (companions.push_back(find_companion(companion)); companions.back().empty()) return out;
  for (const std::string& path : interpreters(language)) {
    Toolchain t;
    t.language = &language;
    t.tools = {path};
    t.tools.insert(t.tools.end(), companions.begin(), companions.end());
    for (const std::string& tool : t.tools)
      if (std::string root = installation_root(tool); !root.empty()) t.roots.push_back(root);
    out.push_back(std::move(t));
  }
  return out;
}

std::string missing_programs(const Language& language) {
  std::string names;
  if (interpreters(language).empty()) names = fmt::format("{}", fmt::join(language.executables, " or "));
  for (const Companion& companion : language.companions)
    if (find_companion(companion).empty()) names += (names.empty() ? "" : ", ") + std::string(companion.name);
  return names.empty() ? "" : fmt::format("{} not found; apt-get install {}", names, language.packages);
}

// "/etc/java-*" stands for all folders of that beginning.
std::vector<std::string> expand(const std::string& pattern) {
  if (!pattern.ends_with("*")) return {pattern};
  std::vector<std::string> out;
  std::error_code error;
  const std::string start = pattern.substr(0, pattern.size() - 1);
  for (fs::directory_iterator entry(fs::path(start).parent_path(), error), end; !error && entry != end; entry.increment(error))
    if (entry->path().string().starts_with(start)) out.push_back(entry->path().string());
  std::sort(out.begin(), out.end());
  return out;
}

Sandbox::Sandbox(Tier tier, const std::vector<Toolchain>& toolchains) : tier_(tier), drop_root_(geteuid() == 0) {
  auto show = [&](const std::string& path) {
    if (std::find(roots_.begin(), roots_.end(), path) == roots_.end()) roots_.push_back(path);
  };
  for (const Toolchain& t : toolchains) {
    for (const std::string& root : t.roots) show(root);
    for (const std::string& pattern : t.language->folders)
      for (const std::string& folder : expand(pattern)) show(folder);
  }
  if (tier == Tier::Bubblewrap) {
    bwrap_ = find_program("bwrap");
    prlimit_ = find_program("prlimit");
    if (bwrap_.empty()) throw device_error("judge", "bwrap", "not found; install bubblewrap (apt-get install bubblewrap)");
    if (prlimit_.empty()) throw device_error("judge", "prlimit", "not found; install util-linux");
    SeccompFilter filter = make_filter(false);
    filter_bytes_.assign(reinterpret_cast<const char*>(filter.code.data()), filter.code.size() * sizeof(sock_filter));
  } else if (tier == Tier::Landlock) {
    if (landlock_version() == 0) throw device_error("judge", "landlock", "this kernel has none; Linux 5.13 or newer is needed");
    std::vector<std::string> readable{"/usr", "/etc/ld.so.cache", "/etc/ssl/openssl.cnf"};  // node does not start where it may not read the last
    readable.insert(readable.end(), std::begin(kSystemFolders), std::end(kSystemFolders));
    readable.insert(readable.end(), roots_.begin(), roots_.end());
    ruleset_ = make_landlock_ruleset(readable);
    basic_ = make_filter(false);
    strict_ = make_filter(true);
  }
}

std::vector<std::string> Sandbox::bwrap_command(const std::vector<std::string>& command, int processes) const {
  std::vector<std::string> a{bwrap_, "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session",
                             "--cap-drop", "ALL", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/tmp",
                             "--setenv", "LANG", "C.UTF-8", "--setenv", "PYTHONHASHSEED", "0", "--setenv", "OPENBLAS_NUM_THREADS", "1", "--ro-bind", "/usr", "/usr"};
  for (const char* folder : kSystemFolders) {
    std::error_code error;
    fs::file_status status = fs::symlink_status(folder, error);
    if (fs::is_symlink(status)) a.insert(a.end(), {"--symlink", fs::read_symlink(folder).string(), folder});
    else if (fs::is_directory(status)) a.insert(a.end(), {"--ro-bind", folder, folder});
  }
  a.insert(a.end(), {"--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache", "--ro-bind-try", "/etc/alternatives", "/etc/alternatives"});
  // /dev is a tmpfs without a limit: read-only. A shared mapping of /dev/zero is memory that nobody counts.
  a.insert(a.end(), {"--proc", "/proc", "--dev", "/dev", "--ro-bind", "/dev/null", "/dev/zero", "--remount-ro", "/dev", "--size", kTmpBytes, "--tmpfs", "/tmp"});
  for (const std::string& root : roots_) a.insert(a.end(), {"--ro-bind-try", root, root});
  a.insert(a.end(), {"--remount-ro", "/", "--chdir", "/tmp", "--seccomp", "5", "--", prlimit_, "--nproc=" + std::to_string(processes)});
  a.insert(a.end(), command.begin(), command.end());
  return a;
}

SpawnPlan Sandbox::plan(const std::vector<std::string>& command, const Limits& limits) const {
  SpawnPlan plan;
  plan.argv = command;
  auto limit = [&](int what, rlim_t soft, rlim_t hard) { plan.limits.push_back({what, rlimit{soft, hard}}); };
  limit(RLIMIT_CORE, 0, 0);
  limit(RLIMIT_FSIZE, kFileBytes, kFileBytes);
  limit(RLIMIT_NOFILE, kOpenFiles, kOpenFiles);
  if (limits.address_space) limit(RLIMIT_AS, limits.address_space, limits.address_space);
  if (limits.cpu_seconds > 0) {  // the soft limit kills by SIGXCPU, the hard one cannot be caught
    rlim_t seconds = rlim_t(std::ceil(limits.cpu_seconds));
    limit(RLIMIT_CPU, seconds, seconds + 1);
  }
  plan.drop_root = drop_root_;
  if (tier_ == Tier::Bubblewrap) {
    plan.argv = bwrap_command(command, limits.processes);
    plan.bwrap_filter = filter_bytes_;
    return plan;
  }
  plan.envp = {"PATH=/usr/bin:/bin", "HOME=/", "LANG=C.UTF-8", "PYTHONHASHSEED=0", "OPENBLAS_NUM_THREADS=1"};
  if (tier_ == Tier::Landlock) {
    plan.landlock_ruleset = ruleset_.get();
    plan.filter = limits.trusted ? basic_ : strict_;
  }
  return plan;
}

}  // namespace teeny::judge
