#include "teeny/kernels/fixed_order.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

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

bool cholesky_in_place(Tensor& a) {
  const int64_t n = panels(a.size(0));
  for (int64_t k = 0; k < n; ++k) {
    Tensor diagonal = tile(a, k, k).contiguous();
    if (!small_cholesky(diagonal)) return false;
    tile(a, k, k).copy_(diagonal);
    for_each_single_threaded(n - k - 1, [&](int64_t i) {  // L_ik = A_ik L_kk^-T
      Tensor below = tile(a, k + 1 + i, k);
      below.copy_(at::linalg_solve_triangular(diagonal.t(), below, /*upper=*/true, /*left=*/false));
    });
    for_each_single_threaded(n - k - 1, [&](int64_t i) {
      for (int64_t j = 0; j <= i; ++j) tile(a, k + 1 + i, k + 1 + j).addmm_(tile(a, k + 1 + i, k), tile(a, k + 1 + j, k).t(), 1, -1);
    });
  }
  return true;
}

Tensor fixed_cholesky(const Tensor& a) {
  Tensor l = a.tril();
  return cholesky_in_place(l) ? l.tril_() : Tensor();
}

Tensor diagonal_tiles(const Tensor& a) {
  Tensor saved = at::empty({a.size(0), std::min(kPanel, a.size(0))}, a.options());
  for (int64_t i = 0; i < panels(a.size(0)); ++i) {
    const Tensor from = tile(a, i, i);
    panel_rows(saved, i).slice(1, 0, from.size(1)).copy_(from);
  }
  return saved;
}

void restore_lower(Tensor& a, const Tensor& saved_diagonal_tiles) {
  for_each_single_threaded(panels(a.size(0)), [&](int64_t i) {
    for (int64_t j = 0; j < i; ++j) tile(a, i, j).copy_(tile(a, j, i).t());
    Tensor diagonal = tile(a, i, i);
    diagonal.copy_(panel_rows(saved_diagonal_tiles, i).slice(1, 0, diagonal.size(1)));
  });
}

Tensor inverse_cholesky_upper(const Tensor& h) {
  const Tensor l = fixed_cholesky(h.flip({0, 1}));
  return l.defined() ? upper_from_reversed_factor(l) : Tensor();
}

Tensor upper_from_reversed_factor(const Tensor& l) {
  const int64_t K = l.size(0), n = panels(K);
  Tensor u = at::zeros_like(l);
  std::vector<char> finite(size_t(n), 1);
  for_each_single_threaded(n, [&](int64_t i) {  // columns of panel i of L^-1 (zero above it), by rows of tiles
    const int64_t begin = i * kPanel, width = std::min(kPanel, K - begin);
    const Tensor x = at::zeros({K - begin, width}, l.options());
    x.slice(0, 0, width).fill_diagonal_(1);
    for (int64_t r = i; r < n; ++r) {
      Tensor rows = panel_rows(x, r - i);
      if (r > i) rows.addmm_(panel_rows(l, r).slice(1, begin, r * kPanel), x.slice(0, 0, (r - i) * kPanel), 1, -1);
      rows.copy_(at::linalg_solve_triangular(tile(l, r, r).contiguous(), rows, /*upper=*/false));
    }
    finite[size_t(i)] = std::isfinite(x.sum().item<float>());
    u.slice(0, 0, K - begin).slice(1, K - begin - width, K - begin).copy_(x.flip({0, 1}));
  });
  return std::count(finite.begin(), finite.end(), 0) ? Tensor() : u;
}

}  // namespace teeny
