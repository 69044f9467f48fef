#include "teeny/tensor/metrics.h"

#include <cmath>
#include <limits>

#include "teeny/core/error.h"

namespace teeny {

void ErrorSum::add(const Tensor& w, const Tensor& q) {
  const Tensor d = w - q;
  difference += d.square().sum(at::kDouble).item<double>();
  original += w.square().sum(at::kDouble).item<double>();
}

double ErrorSum::relative() const { return original > 0 ? std::sqrt(difference / original) : 0; }

double ErrorSum::sqnr_db() const { return difference > 0 ? 10 * std::log10(original / difference) : std::numeric_limits<double>::infinity(); }

int64_t require_finite(Tensor& w, std::string_view subject, bool allow) {
  const Tensor bad = w.isfinite().logical_not();
  const int64_t count = bad.sum().item<int64_t>();
  if (count == 0) return 0;
  if (!allow) {
    const int64_t first = bad.flatten().to(at::kByte).argmax().item<int64_t>(), columns = w.size(-1);
    throw input_error("quantize", subject, "{} of {} weights are NaN or infinite, the first at row {} column {}; the model is damaged (--allow-nonfinite makes them 0)",
                      count, w.numel(), first / columns, first % columns);
  }
  w = w.nan_to_num(0.0, 0.0, 0.0);
  return count;
}

}  // namespace teeny
