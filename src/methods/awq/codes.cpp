#include "methods/awq/codes.h"

#include <algorithm>
#include <cmath>

#include "teeny/kernels/fixed_order.h"

namespace teeny {
namespace {

constexpr int64_t kRows = 256;          // a task: rows are independent
constexpr double kKeep = 1e-3;          // pull of the least squares towards the scale that was searched
constexpr double kLowestShrink = 0.5;
constexpr int kSweeps = 2;              // over the groups, each with what the errors of the others do to it

// What a group of columns has been given, (rows, group) codes and (rows, 1) numbers of the grid, with the error that counts:
// tr(d G d^T) + 2 tr(d c^T), d the error of the group's weights, c what the other groups' errors do to its columns.
struct Piece {
  Quantized chosen;
  Tensor d, error;
};

// Ranges of one group of columns, as shares of the full range below and above zero.
class RangeSearch {
 public:
  RangeSearch(const Tensor& weights, const Tensor& gram, const Tensor& others, const Encoding& encoding, Piece& piece)
      : weights_(weights), gram_(gram), others_(others), encoding_(encoding), piece_(piece) {
    low_ = weights.amin({1}, true).clamp_max_(0), high_ = weights.amax({1}, true).clamp_min_(0);
    symmetric_ = encoding.spec().symmetric;
    if (symmetric_) {
      high_ = at::maximum(-low_, high_);
      low_ = -high_;
    }
    below_ = above_ = at::ones_like(low_);
    piece_.error = piece_.d.defined() ? error_of(piece_.d) : at::full_like(low_, INFINITY);
  }

  void run() {
    for (int i = 0; i < 10; ++i) attempt(at::full_like(low_, 1 - i / 20.0), at::full_like(low_, 1 - i / 20.0));
    for (const double step : {0.1, 0.05, 0.025}) {
      if (symmetric_) {
        if (step < 0.05)
          for (const double by : {-step, step}) attempt(below_ + by, below_ + by);
        continue;
      }
      for (const double by : {-step, step}) attempt(below_ + by, above_);
      for (const double by : {-step, step}) attempt(below_, above_ + by);
    }
  }

 private:
  Tensor error_of(const Tensor& d) const {
    const Tensor quadratic = (d.mm(gram_) * d).sum(1, true);
    return others_.defined() ? quadratic + 2 * (d * others_).sum(1, true) : quadratic;
  }

  void attempt(Tensor below, Tensor above) {
    below = below.clamp(kLowestShrink, 1), above = above.clamp(kLowestShrink, 1);
    const auto [levels, grid] = encoding_.quantize(at::minimum(at::maximum(weights_, low_ * below), high_ * above), {});
    const Tensor d = decode(levels, grid).sub_(weights_);
    const Tensor error = error_of(d), better = error < piece_.error;
    if (!piece_.chosen.levels.q.defined()) piece_.chosen = {{levels.q.clone()}, grid};
    if (!piece_.d.defined()) piece_.d = d.clone();
    const auto take = [&](Tensor& into, const Tensor& from) {
      if (into.defined()) into = at::where(better, from, into);
    };
    take(piece_.error, error), take(below_, below), take(above_, above), take(piece_.d, d);
    take(piece_.chosen.levels.q, levels.q), take(piece_.chosen.grid.scale, grid.scale), take(piece_.chosen.grid.zero, grid.zero);
  }

  const Tensor &weights_, &gram_, &others_;
  const Encoding& encoding_;
  Piece& piece_;
  Tensor low_, high_, below_, above_;  // (N, 1)
  bool symmetric_;
};

// Some rows of a weight, all groups.
class Rows {
 public:
  Rows(const Tensor& w, const Tensor& gram, const std::vector<Tensor>& blocks, const Encoding& encoding, int64_t columns)
      : w_(w), gram_(gram), blocks_(blocks), encoding_(encoding), columns_(columns), pieces_(blocks.size()) {}

  Quantized run() {
    for (size_t g = 0; g < pieces_.size(); ++g) search(g, Tensor());
    refit();
    for (int i = 0; i < kSweeps && pieces_.size() > 1; ++i) {
      for (size_t g = 0; g < pieces_.size(); ++g) search(g, others(g));
      refit();
    }
    std::vector<Tensor> codes;
    std::vector<Grid> grids;
    for (auto& piece : pieces_) codes.push_back(piece.chosen.levels.q), grids.push_back(piece.chosen.grid);
    return {{at::cat(codes, 1)}, concat_columns(grids)};
  }

 private:
  Tensor columns_of(const Tensor& t, size_t g) const { return t.slice(1, int64_t(g) * columns_, int64_t(g + 1) * columns_); }

  void search(size_t g, const Tensor& others) { RangeSearch(columns_of(w_, g).contiguous(), blocks_[g], others, encoding_, pieces_[g]).run(); }

  Tensor others(size_t g) const {
    std::vector<Tensor> d;
    for (size_t i = 0; i < pieces_.size(); ++i) d.push_back(i == g ? at::zeros_like(pieces_[i].d) : pieces_[i].d);
    return at::cat(d, 1).mm(columns_of(gram_, g));
  }

  // Scales that minimise tr(D G D^T) with the codes as they are: one small system a row.
  void refit() {
    const int64_t rows = w_.size(0), G = int64_t(pieces_.size());
    std::vector<Tensor> pieces, scales;
    for (const auto& piece : pieces_) {
      const Grid& grid = piece.chosen.grid;
      const Tensor q = piece.chosen.levels.q.to(at::kFloat);
      pieces.push_back(grid.zero.defined() ? q - grid.zero : q);
      scales.push_back(grid.scale);
    }
    const Tensor steps = at::cat(pieces, 1), scale = at::cat(scales, 1);
    Tensor a = at::empty({rows, G, G}), b = at::empty({rows, G});
    for (int64_t g = 0; g < G; ++g) {
      const Tensor product = pieces[size_t(g)].mm(gram_.slice(0, g * columns_, (g + 1) * columns_));  // (rows, K)
      a.select(1, g).copy_((product * steps).view({rows, G, columns_}).sum(2));
      b.select(1, g).copy_((product * w_).sum(1));
    }
    const Tensor pull = a.diagonal(0, 1, 2).mean({1}, true) * kKeep;  // (rows, 1)
    a.diagonal(0, 1, 2).add_(pull);
    b.add_(pull * scale);
    const Tensor fitted = encoding_.storable_scale(std::get<0>(at::linalg_solve_ex(a, b.unsqueeze(2))).squeeze(2));
    // A scale never turns round or runs away: codes were chosen for the searched one.
    const Tensor usable = fitted.isfinite().logical_and(fitted > scale * 0.5).logical_and(fitted < scale * 2);
    const Tensor settled = at::where(usable, fitted, scale);
    for (size_t g = 0; g < pieces_.size(); ++g) {
      auto& piece = pieces_[g];
      piece.chosen.grid.scale = settled.slice(1, int64_t(g), int64_t(g) + 1).contiguous();
      piece.d = decode(piece.chosen.levels, piece.chosen.grid) - columns_of(w_, g);
    }
  }

  const Tensor &w_, &gram_;
  const std::vector<Tensor>& blocks_;
  const Encoding& encoding_;
  int64_t columns_;
  std::vector<Piece> pieces_;
};

Grid stack_rows(const std::vector<Quantized>& parts) {
  Grid grid = parts[0].grid;
  const auto stack = [&](Tensor Grid::*member) {
    if (!(grid.*member).defined()) return;
    std::vector<Tensor> all;
    for (const auto& part : parts) all.push_back(part.grid.*member);
    grid.*member = at::cat(all);
  };
  stack(&Grid::scale), stack(&Grid::zero), stack(&Grid::min);
  return grid;
}

}  // namespace

Quantized round_by_output(const Tensor& w, const Tensor& gram, const Encoding& encoding, bool clip) {
  const int64_t N = w.size(0), K = w.size(1), columns = encoding.block_cols(K);
  if (encoding.spec().kind == EncodingKind::Ggml) return encoding.quantize(w, {gram.diagonal().clamp_min(0).contiguous(), false, false});
  if (!clip || encoding.spec().tensor_scale) return encoding.quantize(w, {});
  std::vector<Tensor> blocks;
  for (int64_t g = 0; g < K; g += columns) blocks.push_back(gram.slice(0, g, g + columns).slice(1, g, g + columns).contiguous());
  std::vector<Quantized> parts(size_t((N + kRows - 1) / kRows));
  for_each_single_threaded(int64_t(parts.size()), [&](int64_t i) {
    const Tensor rows = w.slice(0, i * kRows, std::min(N, (i + 1) * kRows));
    parts[size_t(i)] = Rows(rows, gram, blocks, encoding, columns).run();
  });
  std::vector<Tensor> codes;
  for (const auto& part : parts) codes.push_back(part.levels.q);
  return {{at::cat(codes)}, stack_rows(parts)};
}

}  // namespace teeny
