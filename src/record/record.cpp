#include "teeny/record/record.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <random>

#include "record/energy.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"
#include "teeny/core/version.h"

namespace teeny {
namespace {
namespace fs = std::filesystem;
namespace chrono = std::chrono;

double steady_seconds() { return chrono::duration<double>(chrono::steady_clock::now().time_since_epoch()).count(); }

struct UtcTime {
  std::tm parts{};
  int milliseconds = 0;
};

UtcTime utc_now() {
  const auto now = chrono::system_clock::now();
  const std::time_t seconds = chrono::system_clock::to_time_t(chrono::floor<chrono::seconds>(now));
  UtcTime out;
  ::gmtime_r(&seconds, &out.parts);
  out.milliseconds = int(chrono::duration_cast<chrono::milliseconds>(now - chrono::floor<chrono::seconds>(now)).count());
  return out;
}

std::string iso_time(const UtcTime& t) {
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", t.parts.tm_year + 1900, t.parts.tm_mon + 1, t.parts.tm_mday, t.parts.tm_hour,
                     t.parts.tm_min, t.parts.tm_sec, t.milliseconds);
}

Json teeny_info() {
  const auto v = version_info();
  const auto or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
  return {{"version", v.version}, {"git", v.git}, {"build", v.build}, {"libtorch", or_null(v.libtorch)}, {"cuda", or_null(v.cuda)}};
}

// Ids and commands become file names: nothing in them may leave the directory.
void check_name(const std::string& text, const char* field) {
  const bool good = !text.empty() && text.size() <= 80 && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_';
  });
  if (!good) throw input_error("record", field, "is \"{}\", expected 1 to 80 letters, digits, - and _", text);
}
}  // namespace

std::string new_record_id() {
  const auto t = utc_now();
  // A random start, then steps of an odd number: no two ids of one process are equal, whatever the clock says.
  static std::atomic<uint32_t> next{std::random_device{}()};
  return fmt::format("{:04}{:02}{:02}-{:02}{:02}{:02}{:03}-{:08x}", t.parts.tm_year + 1900, t.parts.tm_mon + 1, t.parts.tm_mday, t.parts.tm_hour,
                     t.parts.tm_min, t.parts.tm_sec, t.milliseconds, next.fetch_add(0x9e3779b9u));
}

Json energy_not_measured() { return {{"source", "not measured"}, {"joules", nullptr}, {"idle_w", nullptr}}; }

RunRecord::RunRecord(const std::string& command, const std::vector<std::string>& args, uint64_t seed)
    : started_(steady_seconds()), energy_at_start_(read_rapl()) {
  json_ = {{"schema", kResultSchema}, {"command", command}, {"id", new_record_id()}, {"started", iso_time(utc_now())}, {"seconds", nullptr},
           {"status", "running"}, {"teeny", teeny_info()}, {"machine", machine_info()}, {"args", args}, {"seed", seed}};
}

void RunRecord::finish(const Context& context, const std::string& status) {
  json_["seconds"] = steady_seconds() - started_;
  json_["status"] = status;
  json_["device"] = context.device.empty() ? "cpu" : context.device;
  if (!json_.contains("energy")) {
    json_["energy"] = energy_not_measured();
    if (const auto joules = rapl_joules(energy_at_start_, read_rapl())) json_["energy"] = {{"source", "rapl"}, {"joules", *joules}, {"idle_w", nullptr}};
  }
  Json warnings = Json::array();
  for (const auto& w : context.warnings()) warnings.push_back({{"code", w.code}, {"message", w.message}});
  json_["warnings"] = std::move(warnings);
}

std::string save_record(const Json& record, const std::string& directory) {
  const std::string command = record.value("command", ""), id = record.value("id", "");
  check_name(command, "command");
  check_name(id, "id");
  std::error_code error;
  fs::create_directories(directory, error);
  if (error || !is_directory(directory))
    throw device_error("record", directory, "cannot be made a directory{}; choose another --results", error ? ": " + error.message() : "");
  const std::string path = path_join(directory, command + "-" + id + ".json");
  write_file(path, dump_json(record));
  return path;
}

std::vector<Json> load_records(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const auto& path : paths) {
    if (!is_directory(path)) {
      files.push_back(path);
      continue;
    }
    const size_t before = files.size();
    std::error_code error;
    for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error))
      if (at->path().extension() == ".json") files.push_back(at->path().string());
    if (error) throw input_error("record", path, "cannot be listed: {}", error.message());
    if (files.size() == before) throw input_error("record", path, "holds no .json file; give a directory written with --results, or record files");
    std::sort(files.begin() + ptrdiff_t(before), files.end());
  }
  if (files.empty()) throw usage_error("record", "records", "none given; name record files or a directory written with --results");
  std::vector<Json> out;
  for (const auto& file : files) {
    Json record = read_json_file(file, "record");
    check_record(record, file);
    std::vector<Json> found;  // the record, and those of further models that it holds
    if (const auto more = record.find("variants"); more != record.end() && more->is_array()) {
      for (Json& one : *more) {
        check_record(one, file);
        found.push_back(std::move(one));
      }
      record.erase("variants");
    }
    found.insert(found.begin(), std::move(record));
    for (Json& one : found) {
      const auto same = [&](const Json& other) { return other["id"] == one["id"]; };  // a file named twice counts once
      if (std::none_of(out.begin(), out.end(), same)) out.push_back(std::move(one));
    }
  }
  return out;
}

}  // namespace teeny
