// What goes where: stdout carries the result and nothing else; log, progress and warnings go to stderr. Colour, progress
// and --json are decided here and nowhere else.
#pragma once
#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "teeny/core/context.h"

namespace teeny::cli {

struct CommonChoices {  // the options that every command has
  std::string json, results, device = "auto", log_level = "info", color = "auto";
  int threads = 0;
  uint64_t seed = 0;
  bool quiet = false, verbose = false, no_progress = false;
  double carbon_intensity = -1;  // grams of CO2 per kWh; negative: not asked for
};

struct ClosedPipe {};  // thrown when the reader of stdout has gone: not an error

// Writes all of `text` to stdout. ClosedPipe on EPIPE, a Device error on anything else.
void write_stdout(std::string_view text);
void write_stderr(std::string_view text);  // failures are ignored: there is nowhere left to report them

bool use_colour(const std::string& policy, int descriptor);  // auto: a terminal, no NO_COLOR, TERM is not dumb
std::string style(bool colour, const char* code, const std::string& text);
inline constexpr const char* kBold = "1";
inline constexpr const char* kDim = "2";
inline constexpr const char* kRed = "1;31";
inline constexpr const char* kYellow = "33";

// One line on stderr, redrawn at most ten times a second: "[=====>    ] 45 %  what  12/27  detail  ETA 12 s".
class ProgressBar : public Progress {
 public:
  void start(std::string_view what, uint64_t total) override;
  void advance(uint64_t n, std::string_view detail) override;
  void finish() override;
  void hide();    // before a log line
  void redraw();  // after it

 private:
  void draw();
  void erase();
  using Clock = std::chrono::steady_clock;
  std::mutex mutex_;
  std::string what_, detail_;
  uint64_t total_ = 0, done_ = 0;
  bool active_ = false, shown_ = false;
  Clock::time_point started_, drawn_;
};

bool progress_wanted(const CommonChoices& common);  // stderr is a terminal, not --quiet, not --no-progress

// Refuses now a place that cannot be written later, when hours of work would be lost with it. Creates nothing.
void require_writable(const std::string& path, const std::string& option);

}  // namespace teeny::cli
