#include "judge/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "teeny/core/error.h"

namespace teeny::judge {
namespace {

// Newer than some systems' headers; values from the kernel's documentation.
struct RulesetAttributes {
  uint64_t fs, net, scoped;
};
constexpr uint64_t kTruncate = 1ull << 14, kIoctlDevice = 1ull << 15;
constexpr uint64_t kNetBindConnect = 3, kScopeSocketsSignals = 3;
constexpr uint64_t kAllFs1 = (1ull << 13) - 1;  // ABI 1: EXECUTE .. MAKE_SYM
constexpr uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE;

void allow(int ruleset, const std::string& path, uint64_t access) {
  Fd fd(open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat info {};
  if (fd.get() < 0 || fstat(fd.get(), &info)) return;
  if (!S_ISDIR(info.st_mode)) access &= ~uint64_t(LANDLOCK_ACCESS_FS_READ_DIR);
  landlock_path_beneath_attr rule{};
  rule.allowed_access = access;
  rule.parent_fd = fd.get();
  if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
    throw device_error("judge", path, "landlock refused a rule: {}", std::strerror(errno));
}

}  // namespace

int landlock_version() {
  long version = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return version > 0 ? int(version) : 0;
}

Fd make_landlock_ruleset(const std::vector<std::string>& readable) {
  int version = landlock_version();
  RulesetAttributes attributes{kAllFs1, 0, 0};
  size_t size = sizeof(uint64_t);
  if (version >= 2) attributes.fs |= LANDLOCK_ACCESS_FS_REFER;
  if (version >= 3) attributes.fs |= kTruncate;
  if (version >= 4) attributes.net = kNetBindConnect, size = 2 * sizeof(uint64_t);
  if (version >= 5) attributes.fs |= kIoctlDevice;
  if (version >= 6) attributes.scoped = kScopeSocketsSignals, size = sizeof(attributes);
  Fd ruleset(int(syscall(SYS_landlock_create_ruleset, &attributes, size, 0)));
  if (ruleset.get() < 0) throw device_error("judge", "landlock", "cannot create a rule set: {}", std::strerror(errno));
  for (const std::string& path : readable) allow(ruleset.get(), path, kRead);
  for (const char* device : {"/dev/urandom", "/dev/random"}) allow(ruleset.get(), device, LANDLOCK_ACCESS_FS_READ_FILE);
  allow(ruleset.get(), "/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
  return ruleset;
}

}  // namespace teeny::judge
