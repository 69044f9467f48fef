// What every long-running call is handed: device, threads, seed, progress, warnings, the wish to stop. Never global.
#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace teeny {

// Progress of one long step. The default does nothing; cli draws a bar with ETA on terminals (stderr).
class Progress {
 public:
  virtual ~Progress() = default;
  virtual void start(std::string_view /*what*/, uint64_t /*total*/) {}
  virtual void advance(uint64_t /*n*/ = 1, std::string_view /*detail*/ = {}) {}
  virtual void finish() {}
};

struct Warning {
  std::string code;     // "calibration-short": stable, for scripts
  std::string message;  // one sentence: what happened and what to do
};

enum class LogLevel { Debug, Info, Warn, Error, Off };

// A sink for log lines; cli sets one that writes to stderr. Safe from several threads.
class Log {
 public:
  virtual ~Log() = default;
  virtual void write(LogLevel /*level*/, std::string_view /*text*/) {}
};

class Context {
 public:
  std::string device = "cpu";  // "cpu", "cuda:0"
  int threads = 0;             // 0: all cores
  uint64_t seed = 0;
  Progress* progress = nullptr;
  Log* log = nullptr;
  const std::atomic<int>* interrupted = nullptr;  // non-zero: the signal that asked to stop

  void info(std::string_view text) const { if (log) log->write(LogLevel::Info, text); }
  void debug(std::string_view text) const { if (log) log->write(LogLevel::Debug, text); }
  void warn(std::string code, std::string message);       // logged, and kept for the record
  const std::vector<Warning>& warnings() const { return warnings_; }
  void check_interrupted() const;                         // throws Interrupted between units of work
  int thread_count() const;                               // threads, or the cores this process may use

  void progress_start(std::string_view what, uint64_t total) const { if (progress) progress->start(what, total); }
  void progress_advance(uint64_t n = 1, std::string_view detail = {}) const { if (progress) progress->advance(n, detail); }
  void progress_finish() const { if (progress) progress->finish(); }

 private:
  std::mutex mutex_;
  std::vector<Warning> warnings_;
};

}  // namespace teeny
