#include "judge/watch.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace teeny::judge {
namespace {

std::string slurp(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "";
  std::string text(16384, '\0');
  ssize_t got = read(fd, text.data(), text.size());
  close(fd);
  text.resize(got > 0 ? size_t(got) : 0);
  return text;
}

std::vector<uint64_t> numbers(std::string_view text) {
  std::vector<uint64_t> out;
  for (size_t i = 0; i < text.size();) {
    uint64_t value = 0;
    auto [end, error] = std::from_chars(text.data() + i, text.data() + text.size(), value);
    if (error == std::errc()) {
      out.push_back(value);
      i = size_t(end - text.data());
    } else {
      out.push_back(0);
      while (i < text.size() && text[i] != ' ') ++i;
    }
    while (i < text.size() && (text[i] == ' ' || text[i] == '\n')) ++i;
  }
  return out;
}

// proc_pid_stat(5): after the command in brackets come state (3), ppid (4), ... utime 14, stime 15, cutime 16, cstime 17, rss 24.
void add(pid_t pid, bool precise, Usage& usage) {
  std::string folder = "/proc/" + std::to_string(pid), stat = slurp(folder + "/stat");
  size_t bracket = stat.rfind(')');
  if (bracket == std::string::npos || bracket + 4 > stat.size()) return;
  std::vector<uint64_t> fields = numbers(std::string_view(stat).substr(bracket + 4));  // from field 4 on
  if (fields.size() < 21) return;
  static const double tick = 1.0 / double(sysconf(_SC_CLK_TCK));
  static const uint64_t page = uint64_t(sysconf(_SC_PAGESIZE));
  usage.cpu_seconds += double(fields[10] + fields[11] + fields[12] + fields[13]) * tick;
  if (precise) {
    std::string rollup = slurp(folder + "/smaps_rollup");
    if (size_t at = rollup.find("\nPss:"); at != std::string::npos) {
      size_t digit = rollup.find_first_of("0123456789", at);
      uint64_t kib = 0;
      if (digit != std::string::npos) std::from_chars(rollup.data() + digit, rollup.data() + rollup.size(), kib);
      usage.memory_bytes += kib * 1024;
      return;
    }
  }
  usage.memory_bytes += fields[20] * page;
}

}  // namespace

Usage tree_usage(pid_t root, bool precise_memory) {
  Usage usage;
  std::vector<pid_t> queue{root};
  for (size_t i = 0; i < queue.size() && i < 4096; ++i) {
    add(queue[i], precise_memory, usage);
    std::error_code error;  // any thread may have started children
    for (std::filesystem::directory_iterator task("/proc/" + std::to_string(queue[i]) + "/task", error), end; !error && task != end; task.increment(error))
      for (uint64_t child : numbers(slurp(task->path().string() + "/children"))) queue.push_back(pid_t(child));
  }
  return usage;
}

}  // namespace teeny::judge
