#include "cli/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "cli/text.h"
#include "teeny/core/env.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"
#include "teeny/core/log.h"

namespace teeny::cli {

void write_stdout(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(size_t(n));
    } else if (errno == EPIPE) {
      throw ClosedPipe{};
    } else if (errno != EINTR && errno != EAGAIN) {
      throw device_error("output", "stdout", "cannot be written: {}; free space there, or send the result elsewhere", std::strerror(errno));
    }
  }
}

void write_stderr(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDERR_FILENO, text.data(), text.size());
    if (n < 0 && errno != EINTR) return;
    if (n > 0) text.remove_prefix(size_t(n));
  }
}

bool use_colour(const std::string& policy, int descriptor) {
  if (policy == "always") return true;
  if (policy == "never" || env("NO_COLOR") || env("TERM").value_or("dumb") == "dumb") return false;
  return ::isatty(descriptor) != 0;
}

std::string style(bool colour, const char* code, const std::string& text) {
  return colour ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
}

bool progress_wanted(const CommonChoices& common) {
  return !common.quiet && !common.no_progress && ::isatty(STDERR_FILENO) && env("TERM").value_or("dumb") != "dumb";
}

void ProgressBar::start(std::string_view what, uint64_t total) {
  std::lock_guard lock(mutex_);
  erase();
  what_ = printable(what);
  detail_.clear();
  total_ = total;
  done_ = 0;
  active_ = true;
  started_ = Clock::now();
  draw();
}

void ProgressBar::advance(uint64_t n, std::string_view detail) {
  std::lock_guard lock(mutex_);
  if (!active_) return;
  done_ += n;
  if (!detail.empty()) detail_ = printable(detail);
  if (Clock::now() - drawn_ >= std::chrono::milliseconds(100)) draw();
}

void ProgressBar::finish() {
  std::lock_guard lock(mutex_);
  active_ = false;
  erase();
}

void ProgressBar::hide() {
  mutex_.lock();  // until redraw(): a log line must not be drawn over
  erase();
}

void ProgressBar::redraw() {
  if (active_) draw();
  mutex_.unlock();
}

void ProgressBar::erase() {
  if (shown_) write_stderr("\r\x1b[K");
  shown_ = false;
}

void ProgressBar::draw() {
  winsize size{};
  const size_t columns = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
  std::string line;
  if (total_ > 0) {
    const double share = std::min(1.0, double(done_) / double(total_));
    const auto filled = size_t(share * 20);
    line = fmt::format("[{}{}] {:3.0f} %  {}  {}/{}", std::string(filled, '='), std::string(20 - filled, ' '), share * 100, what_, done_, total_);
    const double elapsed = std::chrono::duration<double>(Clock::now() - started_).count();
    if (done_ > 0 && done_ < total_ && elapsed > 1) line += "  ETA " + duration(elapsed * (1 / share - 1));
  } else {
    line = fmt::format("{}  {}", what_, done_);
  }
  if (!detail_.empty()) line += "  " + detail_;
  while (display_width(line) > columns - 1) {  // never wraps; a code point is dropped whole
    bool continuation = true;
    while (continuation && !line.empty()) {
      continuation = (static_cast<unsigned char>(line.back()) & 0xc0) == 0x80;
      line.pop_back();
    }
  }
  write_stderr("\r" + line + "\x1b[K");
  shown_ = true;
  drawn_ = Clock::now();
}

void require_writable(const std::string& path, const std::string& option) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  fs::path place = fs::absolute(path, ignored).lexically_normal();
  if (fs::exists(place, ignored) && ::access(place.c_str(), W_OK) != 0)
    throw device_error("output", path, "cannot be written ({}); give another place with {}", std::strerror(errno), option);
  while (!fs::exists(place, ignored) && place.has_relative_path()) {
    place = place.parent_path();
    if (fs::exists(place, ignored) && !fs::is_directory(place, ignored))
      throw usage_error("output", path, "cannot be created: {} is not a directory; give another place with {}", place.string(), option);
  }
  if (::access(place.c_str(), W_OK) != 0)
    throw device_error("output", path, "cannot be created: {} is not writable ({}); give another place with {}", place.string(), std::strerror(errno), option);
}

}  // namespace teeny::cli
