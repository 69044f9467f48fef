// Speed on hardware that is not here, by roofline: bytes and operations counted, times the efficiency measured here.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/bench.h"

namespace teeny {

struct Hardware {
  std::string name, title;
  uint64_t memory_bytes = 0;
  double memory_gb_s = 0, fp16_tflops = 0, int8_tops = 0;  // int8_tops 0: not stated
  std::vector<std::string> match;                         // parts of a device's name that identify it
};
// configs/hw/NAME.json, or a path that ends in .json. Usage error listing the names that exist.
Hardware load_hardware(const std::string& name);
bool is_hardware(const Hardware& hardware, const std::string& device_name);

// What a model costs, in bytes and multiply-adds.
struct ModelCost {
  uint64_t file_bytes = 0;          // all tensors as stored
  uint64_t decode_bytes = 0;        // read by a decode step, as stored: everything but a gathered embedding
  uint64_t kv_bytes_per_token = 0;  // fp16 keys and values of one token
  uint64_t macs_per_token = 0;      // the linears
  double attention_macs = 0;        // per token and per token in the cache
  uint64_t activation_bytes = 0;    // per token of a prompt
  bool int8_activations = false;
};
ModelCost model_cost(const Runner& runner);

struct Efficiency {
  double bandwidth = 1, compute = 1;  // in (0, 1]
  std::string note;                   // how they were found
};
Efficiency clamp_efficiency(double bandwidth, double compute, bool cache_resident);

struct Projection {
  double prefill_s = 0, step_s = 0, response_s = 0;
  uint64_t memory_bytes = 0;
  bool fits = false;
  std::string bound;  // "bandwidth" or "compute": what limits the decode step
};
Projection project(const Hardware& hardware, const ModelCost& cost, const Efficiency& efficiency, const CaseSpec& spec);

}  // namespace teeny
