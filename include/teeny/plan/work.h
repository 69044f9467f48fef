// What a plan costs in time: operations counted from its shapes, and seconds for them at this machine's speed.
#pragma once
#include "teeny/core/speed.h"
#include "teeny/plan/plan.h"

namespace teeny {

// Floating-point operations, each kind in units of the machine's multiply-adds at full speed: what a kind reaches of that
// speed is part of the count (work.cpp).
struct Work {
  double calibrate = 0;  // forward passes and statistics
  double solve = 0;      // factors, codes, searches
  double write_text = 0; // the model writes its own calibration text
  uint64_t bytes = 0;    // read and written
  double total() const { return calibrate + solve + write_text; }
};

// self: the calibration text is written by the model.
Work count_work(const Plan& plan, const QuantizeOptions& options, bool self);
double expected_seconds(const Work& work, const MachineSpeed& speed);

inline constexpr double kLongestSelfSeconds = 300;  // text that nobody asked for is written when all takes no longer
// What --calibration left out means for a model with these files beside it: "self", or the path of its calibration.txt.
std::string default_calibration(const std::string& directory);
// Usage error with the estimate when text that nobody asked for would take longer than that.
void check_self_calibration(const QuantizeOptions& options, const std::string& subject, double seconds);

}  // namespace teeny
