#include "teeny/kernels/column_sums.h"

#include "kernels/cuda/columns.h"
#include "teeny/core/error.h"

namespace teeny {

Tensor column_sums(const Tensor& x, int64_t step) {
  const bool bf16 = x.scalar_type() == at::kBFloat16;
  TEENY_ASSERT(x.is_cuda() && x.is_contiguous() && (bf16 || x.scalar_type() == at::kFloat));
  const int64_t T = x.size(0), K = x.size(1);
  Tensor out = at::empty({(T + step - 1) / step, 4, K}, x.options().dtype(at::kFloat));
  cuda::set_device(x.device().index());
  cuda::column_sums(x.const_data_ptr(), bf16, T, K, step, out.mutable_data_ptr<float>(), nullptr);
  return out;
}

}  // namespace teeny
