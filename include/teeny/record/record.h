// The one result format: docs/result.schema.json. Commands fill it, --json prints it, report reads nothing else.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "teeny/core/context.h"
#include "teeny/core/json.h"

namespace teeny {

inline constexpr const char* kResultSchema = "teeny.result/1";

class RunRecord {
 public:
  // Starts the clock; fills schema, command, id, started, teeny, machine, args, seed.
  RunRecord(const std::string& command, const std::vector<std::string>& args, uint64_t seed);
  Json& json() { return json_; }
  const Json& json() const { return json_; }
  // Sets seconds, status ("ok", "check-failed", "interrupted" or "failed") and the warnings of the context; and `energy`,
  // unless a better meter has filled it, from the CPU's energy counters where they can be read.
  void finish(const Context& context, const std::string& status = "ok");

 private:
  Json json_;
  double started_ = 0;
  std::vector<uint64_t> energy_at_start_;
};

Json machine_info();                                   // cpu, cores, isa, memory_bytes, os, kernel, gpus (by NVML; [] without)
Json energy_not_measured();                            // {source: "not measured", joules: null, idle_w: null}
uint64_t peak_host_bytes();                            // VmHWM of this process
uint64_t peak_anonymous_bytes();                       // highest RssAnon seen by sample_memory() so far
void sample_memory();                                  // reads RssAnon once; cheap enough to call per layer
std::string new_record_id();                           // "20250131-120059123-9f86d081": sorts by time, unique
// What a record must have before anyone reads it; Input error naming `subject` and the field, e.g. "bench.cases[2].median".
void check_record(const Json& record, std::string_view subject);
std::vector<Json> load_records(const std::vector<std::string>& paths);  // files or directories; Input error for anything else
std::string save_record(const Json& record, const std::string& directory);  // <directory>/<command>-<id>.json; returns the path

}  // namespace teeny
