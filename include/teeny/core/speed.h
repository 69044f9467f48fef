// How fast this machine is right now, measured in a fraction of a second: for estimates of time, never for a stored bit.
#pragma once

namespace teeny {

struct MachineSpeed {
  double flops = 0;  // multiply-adds of f32 vectors in registers, counted as two, a second, all threads together
};
MachineSpeed measure_speed(int threads);

}  // namespace teeny
