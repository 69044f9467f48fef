#include "teeny/core/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <mutex>

namespace teeny {
namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::Debug: return spdlog::level::debug;
    case LogLevel::Info: return spdlog::level::info;
    case LogLevel::Warn: return spdlog::level::warn;
    case LogLevel::Error: return spdlog::level::err;
    case LogLevel::Off: return spdlog::level::off;
  }
  return spdlog::level::off;
}

class StderrLog : public Log {
 public:
  explicit StderrLog(LogOptions options)
      : options_(std::move(options)),
        logger_("teeny", std::make_shared<spdlog::sinks::stderr_color_sink_mt>(options_.colour ? spdlog::color_mode::always
                                                                                               : spdlog::color_mode::never)) {
    logger_.set_level(to_spdlog(options_.level));
    logger_.flush_on(spdlog::level::trace);
  }

  void write(LogLevel level, std::string_view text) override {
    if (level < options_.level || level == LogLevel::Off) return;
    std::lock_guard lock(mutex_);
    // Information is the normal voice of the program; everything else is named.
    logger_.set_pattern(level == LogLevel::Info ? "teeny: %v" : level == LogLevel::Warn ? "teeny: %^warning%$: %v" : "teeny: %^%l%$: %v");
    if (options_.before_line) options_.before_line();
    logger_.log(to_spdlog(level), "{}", printable(text, true));
    if (options_.after_line) options_.after_line();
  }

 private:
  LogOptions options_;
  spdlog::logger logger_;
  std::mutex mutex_;
};

}  // namespace

std::unique_ptr<Log> make_stderr_log(LogOptions options) { return std::make_unique<StderrLog>(std::move(options)); }

std::optional<LogLevel> log_level_from_name(std::string_view name) {
  constexpr std::pair<std::string_view, LogLevel> kNames[] = {{"debug", LogLevel::Debug}, {"info", LogLevel::Info},
                                                             {"warn", LogLevel::Warn},   {"error", LogLevel::Error},
                                                             {"off", LogLevel::Off}};
  for (const auto& [known, level] : kNames)
    if (known == name) return level;
  return std::nullopt;
}

std::string printable(std::string_view text, bool keep_lines) {
  std::string safe;
  safe.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool c1 = c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) >= 0x80 &&
                    static_cast<unsigned char>(text[i + 1]) < 0xa0;  // U+0080..U+009F: 8-bit control codes
    if (c == '\n' || c == '\t') {
      safe += keep_lines ? char(c) : ' ';
    } else if (c1) {
      safe += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[++i]));
    } else if (c < 0x20 || c == 0x7f) {
      safe += fmt::format("\\x{:02x}", c);
    } else {
      safe += char(c);
    }
  }
  return safe;
}

}  // namespace teeny
