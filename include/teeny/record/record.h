// The one result format: docs/result.schema.json. Commands fill it, --json prints it, report reads nothing else.
#pragma once
#include <string>
#include <vector>

#include "teeny/core/context.h"
#include "teeny/core/json.h"

namespace teeny {

class RunRecord {
 public:
  // Starts the clock; fills schema, command, id, started, teeny, machine, args, seed.
  RunRecord(const std::string& command, const std::vector<std::string>& args, uint64_t seed);
  Json& json() { return json_; }
  const Json& json() const { return json_; }
  // Sets seconds, status and the warnings of the context.
  void finish(const Context& context, const std::string& status = "ok");

 private:
  Json json_;
  double started_ = 0;
};

Json machine_info();                                   // cpu, cores, isa, memory_bytes, os, kernel, gpus
uint64_t peak_host_bytes();                            // VmHWM of this process
uint64_t peak_anonymous_bytes();                       // highest RssAnon seen by sample_memory() so far
void sample_memory();                                  // reads RssAnon once; cheap enough to call per layer
std::vector<Json> load_records(const std::vector<std::string>& paths);  // files or directories; Input error for anything else
std::string save_record(const Json& record, const std::string& directory);  // <directory>/<command>-<id>.json; returns the path

}  // namespace teeny
