#include <filesystem>

#include "cli/command.h"
#include "cli/resolve.h"
#include "cli/signals.h"
#include "cli/text.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"
#include "teeny/core/log.h"
#include "teeny/record/record.h"

namespace teeny::cli {
namespace {

LogLevel wanted_level(const CommonChoices& common) {
  if (common.quiet) return LogLevel::Error;
  if (common.verbose) return LogLevel::Debug;
  return log_level_from_name(common.log_level).value_or(LogLevel::Info);
}

// A pipe or a device is written in place; a file gets its name when it is complete.
void write_record(const std::string& path, const std::string& text) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status) || std::filesystem::is_regular_file(status)) return write_file(path, text);
  if (std::filesystem::is_directory(status)) throw usage_error("output", path, "is a directory; --json takes a file, --results a directory");
  FILE* file = std::fopen(path.c_str(), "w");
  const bool written = file && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (!file || std::fclose(file) != 0 || !written) throw device_error("output", path, "the record cannot be written");
}

void add_carbon(Json& record, double grams_per_kwh) {
  if (grams_per_kwh < 0) return;
  const double joules = number_at(record, {"energy", "joules"}, -1);
  if (!record.contains("energy") || !record["energy"].is_object()) record["energy"] = energy_not_measured();
  record["energy"]["co2_g"] = joules < 0 ? Json() : Json(joules / 3.6e6 * grams_per_kwh);
}

}  // namespace

Session::Session(CommonChoices common, std::vector<std::string> args, Engine* injected)
    : common_(std::move(common)), args_(std::move(args)), engine_(injected), colour_(use_colour(common_.color, 1)) {
  LogOptions options;
  options.level = wanted_level(common_);
  options.colour = use_colour(common_.color, 2);
  if (progress_wanted(common_)) {
    bar_ = std::make_unique<ProgressBar>();
    options.before_line = [bar = bar_.get()] { bar->hide(); };
    options.after_line = [bar = bar_.get()] { bar->redraw(); };
  }
  log_ = make_stderr_log(std::move(options));
  context_.device = resolve_device(common_.device);
  context_.threads = common_.threads;
  context_.seed = common_.seed;
  context_.progress = bar_.get();
  context_.log = log_.get();
  context_.interrupted = &interrupted_flag();
}

Session::~Session() {
  if (bar_) bar_->finish();
}

Engine& Session::engine() {
  check_destinations();
  if (!engine_) engine_ = &load_engine();
  return *engine_;
}

void Session::check_destinations() const {
  if (!common_.json.empty() && !json_to_stdout()) {
    if (is_directory(common_.json)) throw usage_error("output", common_.json, "is a directory; --json takes a file, --results a directory");
    require_writable(common_.json, "--json");
  }
  if (!common_.results.empty()) {
    if (path_exists(common_.results) && !is_directory(common_.results))
      throw usage_error("output", common_.results, "is a file; --results takes a directory, --json a file");
    require_writable(common_.results, "--results");
  }
}

std::string Session::keep(const Json& record) const { return common_.results.empty() ? "" : save_record(record, common_.results); }

int Session::deliver(Json record, const std::function<std::string(const Json&)>& render) {
  if (bar_) bar_->finish();
  add_carbon(record, common_.carbon_intensity);
  if (!common_.json.empty() && !json_to_stdout()) write_record(common_.json, dump_json(record));
  if (const auto kept = keep(record); !kept.empty()) context_.info("record: " + kept);
  write_stdout(json_to_stdout() ? dump_json(record) : render(record));
  bool passed = true;
  std::string failed;
  const auto look = [&](const Json& one) {
    passed = passed && text_at(one, {"status"}) != "check-failed";
    if (const Json* warnings = find(one, {"warnings"}))
      for (const auto& warning : *warnings)
        if (text_at(warning, {"code"}) == "check-failed") failed += (failed.empty() ? "" : "; ") + text_at(warning, {"message"});
  };
  look(record);
  if (const Json* others = find(record, {"variants"}))
    for (const Json& one : *others) look(one);
  if (passed) return 0;
  throw Error(ErrorKind::Check, "check", text_at(record, {"command"}), failed.empty() ? "a requested check failed" : failed);
}

}  // namespace teeny::cli
