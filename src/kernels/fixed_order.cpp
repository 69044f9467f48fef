#include "teeny/kernels/fixed_order.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cmath>

namespace teeny {
namespace {
constexpr int64_t kPanel = 256;

int64_t panels(int64_t n) { return (n + kPanel - 1) / kPanel; }

Tensor panel_rows(const Tensor& t, int64_t i) { return t.slice(0, i * kPanel, std::min(t.size(0), (i + 1) * kPanel)); }

Tensor tile(const Tensor& t, int64_t i, int64_t j) { return panel_rows(t, i).slice(1, j * kPanel, std::min(t.size(1), (j + 1) * kPanel)); }

// MKL (inside libtorch) takes its thread count from the calling thread when told so; without MKL nothing is to be told.
class OneMklThread {
 public:
  OneMklThread() : before_(set(1)) {}
  ~OneMklThread() { set(before_); }

 private:
  static int set(int n) {
    using Set = int(int);
    static Set* const function = reinterpret_cast<Set*>(::dlsym(RTLD_DEFAULT, "MKL_Set_Num_Threads_Local"));
    return function ? function(n) : 0;
  }
  int before_;
};

// Lower factor of a small (n, n) matrix, in place, in plain loops (LAPACK's differs between one thread and several).
bool small_cholesky(Tensor& a) {
  const int64_t n = a.size(0);
  float* l = a.mutable_data_ptr<float>();
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      double sum = l[i * n + j];
      for (int64_t k = 0; k < j; ++k) sum -= double(l[i * n + k]) * double(l[j * n + k]);
      if (i == j && !(sum > 0)) return false;
      l[i * n + j] = float(i == j ? std::sqrt(sum) : sum / double(l[j * n + j]));
    }
  a.tril_();
  return true;
}

}  // namespace

void for_each_single_threaded(int64_t n, const std::function<void(int64_t)>& body) {
  std::exception_ptr failure;
  std::atomic<bool> failed{false};
  std::atomic<int64_t> next{0};
  const int threads = at::get_num_threads();
  // Never a team of one: libraries look whether they are called from inside a parallel region, and choose other code then.
#pragma omp parallel num_threads(std::max(2, threads))
  {
    const OneMklThread guard;
    if (omp_get_thread_num() < threads)
      for (int64_t i; !failed && (i = next++) < n;) {
        try {
          body(i);
        } catch (...) {
#pragma omp critical(teeny_fixed_order)
          if (!failure) failure = std::current_exception();
          failed = true;
        }
      }
  }
  if (failure) std::rethrow_exception(failure);
}

Tensor fixed_matmul(const Tensor& a, const Tensor& b) {
  Tensor out = at::empty({a.size(0), b.size(1)}, a.options());
  for_each_single_threaded(panels(a.size(0)), [&](int64_t i) {
    Tensor rows = panel_rows(out, i);
    at::mm_out(rows, panel_rows(a, i), b);
  });
  return out;
}

void subtract_product(Tensor& target, const Tensor& a, const Tensor& b) {
  for_each_single_threaded(panels(a.size(0)), [&](int64_t i) { panel_rows(target, i).addmm_(panel_rows(a, i), b, 1, -1); });
}

void add_gram(Tensor& gram, const Tensor& x) {
  const Tensor xt = x.t();
  const int64_t n = panels(gram.size(0));
  for_each_single_threaded(n, [&](int64_t i) {  // rows of panel i, columns up to its own
    const Tensor rows = panel_rows(xt, n - 1 - i);
    const int64_t columns = (n - 1 - i) * kPanel + rows.size(0);
    panel_rows(gram, n - 1 - i).slice(1, 0, columns).addmm_(rows, x.slice(1, 0, columns));
  });
}

void mirror_lower(Tensor& square) {
  const int64_t n = panels(square.size(0));
  for_each_single_threaded(n, [&](int64_t i) {
    for (int64_t j = 0; j < i; ++j) tile(square, j, i).copy_(tile(square, i, j).t());
    Tensor diagonal = tile(square, i, i);
    diagonal.copy_(diagonal.tril() + diagonal.tril(-1).t());
  });
}

Tensor fixed_cholesky(const Tensor& a) {
  Tensor l = a.tril();
  const int64_t n = panels(l.size(0));
  for (int64_t k = 0; k < n; ++k) {
    Tensor diagonal = tile(l, k, k).contiguous();
    if (!small_cholesky(diagonal)) return {};
    tile(l, k, k).copy_(diagonal);
    for_each_single_threaded(n - k - 1, [&](int64_t i) {  // L_ik = A_ik L_kk^-T
      Tensor below = tile(l, k + 1 + i, k);
      below.copy_(at::linalg_solve_triangular(diagonal.t(), below, /*upper=*/true, /*left=*/false));
    });
    for_each_single_threaded(n - k - 1, [&](int64_t i) {
      for (int64_t j = 0; j <= i; ++j) tile(l, k + 1 + i, k + 1 + j).addmm_(tile(l, k + 1 + i, k), tile(l, k + 1 + j, k).t(), 1, -1);
    });
  }
  return l.tril_();
}

Tensor inverse_cholesky_upper(const Tensor& h) {
  Tensor l = fixed_cholesky(h.flip({0, 1}));
  return l.defined() ? upper_from_reversed_factor(std::move(l)) : Tensor();
}

Tensor upper_from_reversed_factor(Tensor l) {
  const int64_t K = l.size(0);
  Tensor inverse = at::zeros_like(l);
  for_each_single_threaded(panels(K), [&](int64_t i) {  // columns of panel i of L^-1: zero above it
    const int64_t begin = i * kPanel, width = std::min(kPanel, K - begin);
    Tensor rhs = at::zeros({K - begin, width}, l.options());
    rhs.slice(0, 0, width).fill_diagonal_(1);
    inverse.slice(0, begin).slice(1, begin, begin + width).copy_(at::linalg_solve_triangular(l.slice(0, begin).slice(1, begin), rhs, /*upper=*/false));
  });
  l = Tensor();
  if (!std::isfinite(inverse.sum().item<float>())) return {};
  return inverse.flip({0, 1});
}

}  // namespace teeny
