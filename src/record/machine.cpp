// What this machine is, from /proc and /etc/os-release.
#include <sched.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>
#include <unordered_set>

#include "record/gpus.h"
#include "teeny/record/record.h"

namespace teeny {
namespace {
std::atomic<uint64_t> peak_anonymous{0};

// The instruction sets that matter to quantized arithmetic, in the kernel's spelling (x86, then Arm).
constexpr std::array kIsa{"sse4_2", "avx",       "f16c",        "fma",        "avx2",     "avx512f",  "avx512bw", "avx512vl", "avx512_vbmi",
                          "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16",
                          "asimd",  "asimdhp",   "asimddp",     "i8mm",       "bf16",     "sve",      "sve2"};

std::string trimmed(std::string text) {
  const auto keep = [](char c) { return c != ' ' && c != '\t' && c != '"'; };
  text.erase(text.begin(), std::find_if(text.begin(), text.end(), keep));
  text.erase(std::find_if(text.rbegin(), text.rend(), keep).base(), text.end());
  return text;
}

// The value of the first line "key<spaces><separator>value" of a small text file.
std::optional<std::string> field_of(const char* path, std::string_view key, char separator) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    const auto at = line.find(separator);
    if (at != std::string::npos && trimmed(line.substr(0, at)) == key) return trimmed(line.substr(at + 1));
  }
  return std::nullopt;
}

// "   123456 kB" -> bytes; 0 when absent.
uint64_t kilobytes_field(const char* path, std::string_view key) {
  const auto text = field_of(path, key, ':').value_or("");
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value * 1024;
}

std::string cpu_name() {
  for (const char* key : {"model name", "Model", "Hardware", "cpu model"})
    if (auto name = field_of("/proc/cpuinfo", key, ':'); name && !name->empty()) return *name;
  return "unknown";
}

Json isa_list() {
  auto flags = field_of("/proc/cpuinfo", "flags", ':');
  if (!flags) flags = field_of("/proc/cpuinfo", "Features", ':');
  std::unordered_set<std::string> present;
  std::istringstream words(flags.value_or(""));
  for (std::string word; words >> word;) present.insert(word);
  Json out = Json::array();
  for (const char* name : kIsa)
    if (present.contains(name)) out.push_back(name);
  return out;
}

int allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}
}  // namespace

Json machine_info() {
  utsname names{};
  const bool known = ::uname(&names) == 0;
  return {{"cpu", cpu_name()},
          {"cores", allowed_cores()},
          {"isa", isa_list()},
          {"memory_bytes", kilobytes_field("/proc/meminfo", "MemTotal")},
          {"os", field_of("/etc/os-release", "PRETTY_NAME", '=').value_or(known ? names.sysname : "unknown")},
          {"kernel", known ? std::string(names.sysname) + " " + names.release + " " + names.machine : "unknown"},
          {"gpus", gpu_list()}};
}

uint64_t peak_host_bytes() { return kilobytes_field("/proc/self/status", "VmHWM"); }

void sample_memory() {
  const uint64_t now = kilobytes_field("/proc/self/status", "RssAnon");
  uint64_t seen = peak_anonymous.load();
  while (now > seen && !peak_anonymous.compare_exchange_weak(seen, now)) {
  }
}

uint64_t peak_anonymous_bytes() { return peak_anonymous.load(); }

}  // namespace teeny
