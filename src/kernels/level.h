// The level of a grid that is nearest to a weight, one weight at a time.
#pragma once
#include <cmath>
#include <cstdint>

namespace teeny {

struct Level {
  float code, value;
};

// One row of a grid: numbers of each group; zero and min may be null, with a table both are.
struct GridRow {
  const float *scale, *zero, *min, *table;
  float hi;

  float value(float code, int64_t g) const {
    return table ? scale[g] * table[int(code)] : scale[g] * (code - (zero ? zero[g] : 0)) - (min ? min[g] : 0);
  }
  Level nearest(float w, int64_t g) const {
    float q = 0;
    if (table) {
      const float x = scale[g] != 0 ? w / scale[g] : 0;
      while (q < hi && x >= (table[int(q)] + table[int(q) + 1]) * 0.5f) ++q;
    } else {
      const float z = zero ? zero[g] : 0;
      const float steps = scale[g] != 0 ? std::nearbyint((w + (min ? min[g] : 0)) / scale[g]) + z : z;
      q = std::fmin(std::fmax(steps, 0.0f), hi);  // NaN becomes 0
    }
    return {q, value(q, g)};
  }
};

}  // namespace teeny
