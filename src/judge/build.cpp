#include "judge/build.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "judge/io.h"
#include "judge/session.h"
#include "judge/watch.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny::judge {
namespace {

constexpr double kCpuSeconds = 15, kWallSeconds = 150;  // a compiler takes one or two
constexpr uint64_t kMemory = 2ull << 30, kOutput = 48ull << 20, kComplaints = 16ull << 20;
constexpr int kProcesses = 96;  // and threads: javac starts one or two dozen
constexpr size_t kKeptTests = 512;
using Clock = std::chrono::steady_clock;

// A program that is cut off says so somewhere; else by the first line that is an error: what the compilers of this judge call what.
std::string kind_of(const std::string& complaints) {
  static const std::pair<const char*, const char*> table[] = {
      {"not declared", "name"}, {"does not name a type", "name"}, {"No such file", "name"}, {"is not a member of", "name"}, {"has no member named", "name"},
      {"cannot find symbol", "name"}, {"does not exist", "name"}, {"CS0103", "name"}, {"CS0246", "name"}, {"CS0234", "name"}, {"CS1061", "name"},
      {"undefined reference", "name"}, {"TS2304", "name"}, {"TS2552", "name"}, {"TS2307", "name"},
      {"no matching function", "type"}, {"cannot convert", "type"}, {"could not convert", "type"}, {"invalid conversion", "type"}, {"invalid operands", "type"},
      {"no match for", "type"}, {"incompatible types", "type"}, {"cannot be applied", "type"}, {"bad operand", "type"}, {"CS0029", "type"}, {"CS0266", "type"},
      {"CS1502", "type"}, {"CS1503", "type"}, {"CS0019", "type"}, {"CS0161", "type"}, {"TS2", "type"}, {"TS7", "type"}};
  for (const char* cut_off : {"at end of input", "reached end of file", "end-of-file", "unterminated", "error CS1513", "TS1005: '}' expected", "TS1160"})
    if (complaints.find(cut_off) != std::string::npos) return "truncated";
  size_t at = complaints.find("error");
  if (at == std::string::npos) return "syntax";
  const std::string line = complaints.substr(at, complaints.find('\n', at) - at);
  for (auto& [text, kind] : table)
    if (line.find(text) != std::string::npos) return kind;
  return "syntax";
}

class Compilation {
 public:
  Compilation(const Sandbox& sandbox, const Toolchain& toolchain, const std::string& source)
      : source_(source), process_(sandbox.plan(toolchain.language->compiler(toolchain.tools), {kCpuSeconds, 0, true, kProcesses})), started_(Clock::now()) {}

  Build run(const std::atomic<int>* interrupted) {
    while (process_.from.get() >= 0 || process_.err.get() >= 0) {
      pump();
      if (interrupted && interrupted->load()) return stopped("unsupported", "interrupted");
      if (output_.size() > kOutput || complaints_.total() + chatter_.total() > kComplaints) return stopped("output", "the compiler's output has no end");
      if (seconds() > kWallSeconds) return stopped("time", fmt::format("compiling took more than {} s", kWallSeconds));
      if (seconds() - last_look_ < kTickMs * 1e-3) continue;
      last_look_ = seconds();
      Usage usage = tree_usage(process_.pid(), false);
      if (usage.memory_bytes > kMemory) usage = tree_usage(process_.pid(), true);
      if (usage.memory_bytes > kMemory) return stopped("memory", fmt::format("the compiler used more than {} MiB", kMemory >> 20));
      if (usage.cpu_seconds > kCpuSeconds) return stopped("time", fmt::format("compiling took more than {} s of CPU time", kCpuSeconds));
    }
    return ended();
  }

 private:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - started_).count(); }

  void pump() {
    if (sent_ == source_.size()) process_.to.reset();
    pollfd fds[4] = {{process_.to.get(), POLLOUT, 0}, {process_.from.get(), POLLIN, 0}, {process_.err.get(), POLLIN, 0}, {process_.out.get(), POLLIN, 0}};
    if (poll(fds, 4, kTickMs) <= 0) return;
    if (fds[0].revents) {
      ssize_t sent = write(process_.to.get(), source_.data() + sent_, source_.size() - sent_);
      if (sent > 0) sent_ += size_t(sent);
      else if (sent < 0 && errno != EAGAIN && errno != EINTR) sent_ = source_.size();
    }
    if (fds[1].revents && !drain(process_.from, &output_, nullptr)) process_.from.reset();
    if (fds[2].revents && !drain(process_.err, nullptr, &complaints_)) process_.err.reset();
    if (fds[3].revents && !drain(process_.out, nullptr, &chatter_)) process_.out.reset();
  }

  Build stopped(const char* kind, std::string message) {
    process_.kill_and_wait();
    return {false, "", kind, std::move(message)};
  }

  Build ended() {
    pollfd exited{process_.exited.get(), POLLIN, 0};
    if (poll(&exited, 1, 1000) <= 0) return stopped("exception", "the compiler closed its channel and went on");
    const int status = process_.wait();
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !output_.empty()) return {true, std::move(output_), "", ""};
    const std::string text = complaints_.text();
    if (WIFEXITED(status) && (WEXITSTATUS(status) == kSetupFailed || text.starts_with("bwrap:"))) return {false, "", "unsupported", std::string(kSandboxFailed) + text};
    if (text.find("out of memory") != std::string::npos || text.find("OutOfMemory") != std::string::npos || text.find("Killed") != std::string::npos)
      return {false, "", "memory", printable(text)};
    return {false, "", kind_of(text), printable(text)};
  }

  const std::string& source_;
  Process process_;
  Clock::time_point started_;
  std::string output_;
  Capture complaints_, chatter_;
  size_t sent_ = 0;
  double last_look_ = 0;
};

}  // namespace

Build build(const Sandbox& sandbox, const Toolchain& toolchain, const std::string& source, const std::atomic<int>* interrupted) {
  SigpipeBlock block;
  return Compilation(sandbox, toolchain, source).run(interrupted);
}

std::shared_ptr<const Build> BuildCache::get(const Sandbox& sandbox, const Toolchain& toolchain, const std::string& source, const std::atomic<int>* interrupted) {
  const std::string key = toolchain.language->id + sha256_hex(source);
  {
    std::lock_guard lock(mutex_);
    if (auto found = kept_.find(key); found != kept_.end()) return found->second;
  }
  auto made = std::make_shared<const Build>(build(sandbox, toolchain, source, interrupted));
  if (made->kind == "unsupported" || made->kind == "time") return made;  // may go better another time
  std::lock_guard lock(mutex_);
  if (kept_.size() >= kKeptTests) kept_.clear();
  return kept_[key] = made;
}

}  // namespace teeny::judge
