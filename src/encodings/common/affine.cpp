#include "encodings/common/affine.h"

#include <ATen/Parallel.h>

#include "encodings/common/affine_cuda.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

struct Range {
  Tensor low, high;  // (N, G), low <= 0 <= high
};

Range group_range(const Tensor& grouped, const AffineShape& shape) {  // grouped: (N, G, group)
  Tensor low = grouped.amin(2).clamp_max(0), high = grouped.amax(2).clamp_min(0);
  if (shape.tensor_scale) {
    low = low.amin().expand_as(low).contiguous();
    high = high.amax().expand_as(high).contiguous();
  }
  if (shape.symmetric) {
    high = at::maximum(-low, high);
    low = -high;
  }
  return {low, high};
}

// Divides where the tensor lives: for a plain number libtorch multiplies by its reciprocal on a GPU, which rounds otherwise.
Tensor divided(const Tensor& t, int by) { return t / at::full({}, double(by), t.options()); }

Grid grid_of(const Range& range, const AffineShape& shape) {
  const int hi = (1 << shape.bits) - 1;
  Grid grid;
  grid.group = shape.group;
  grid.hi = hi;
  grid.scale = divided(range.high - range.low, hi).to(shape.scale_type).to(at::kFloat);
  if (shape.symmetric)
    grid.zero = at::full_like(grid.scale, double(1 << (shape.bits - 1)));
  else {
    grid.zero = at::where(grid.scale > 0, at::round(-range.low / grid.scale), at::zeros_like(grid.scale)).clamp_(0, hi);
    if (shape.zero_min > 0) {  // a zero point that cannot be stored moves up, and the steps widen so that the top still fits
      const Tensor moved = grid.zero < shape.zero_min;
      const Tensor wider = divided(range.high, hi - shape.zero_min).to(shape.scale_type).to(at::kFloat);
      grid.scale = at::where(moved, at::maximum(wider, grid.scale), grid.scale);
      grid.zero.clamp_min_(shape.zero_min);
    }
  }
  return grid;
}

// (N, G): importance-weighted squared error of each group on the grid.
Tensor group_error(const Tensor& w, const Tensor& grouped_importance, const Grid& grid, int64_t G) {
  Tensor d = decode(nearest(w, grid), grid).sub_(w);
  d = d.mul_(d).view({w.size(0), G, grid.group});
  if (grouped_importance.defined()) d.mul_(grouped_importance);
  return d.sum(2);
}

Grid search_shrink(const Tensor& w, const Range& range, const AffineShape& shape, const FitOptions& options) {
  const int64_t G = w.size(1) / shape.group;
  const Tensor importance = options.importance.defined() ? options.importance.view({1, G, shape.group}) : Tensor();
  Grid best = grid_of(range, shape);
  Tensor best_error = group_error(w, importance, best, G);
  for (int i = 1; i < 80; ++i) {
    const double p = 1.0 - i / 100.0;
    const Grid grid = grid_of({range.low * p, range.high * p}, shape);
    const Tensor error = group_error(w, importance, grid, G), better = error < best_error;
    best_error = at::where(better, error, best_error);
    best.scale = at::where(better, grid.scale, best.scale);
    best.zero = at::where(better, grid.zero, best.zero);
  }
  return best;
}

Grid search_on_gpu(const Tensor& w, const Range& range, const AffineShape& shape, const FitOptions& options) {
  const Tensor rows = w.contiguous(), low = range.low.contiguous(), high = range.high.contiguous();
  const Tensor importance = options.importance.defined() ? options.importance.to(w.device(), at::kFloat).contiguous() : Tensor();
  Grid grid = grid_of(range, shape);
  grid.scale = at::empty_like(low), grid.zero = at::empty_like(low);
  cuda::set_device(w.device().index());
  search_affine_cuda({rows.const_data_ptr<float>(), importance.defined() ? importance.const_data_ptr<float>() : nullptr, low.const_data_ptr<float>(), high.const_data_ptr<float>(),
                      grid.scale.mutable_data_ptr<float>(), grid.zero.mutable_data_ptr<float>(), w.size(0), w.size(1), shape.group, shape.bits, shape.zero_min, shape.symmetric,
                      shape.scale_type == at::kHalf ? 0 : shape.scale_type == at::kBFloat16 ? 1 : 2},
                     nullptr);
  return grid;
}

}  // namespace

Grid fit_affine(const Tensor& w, const AffineShape& shape, const FitOptions& options) {
  const int64_t N = w.size(0), cols = w.size(1);
  TEENY_ASSERT(shape.group > 0 && cols % shape.group == 0);
  const Range range = group_range(w.view({N, cols / shape.group, shape.group}), shape);
  if (!options.mse || shape.tensor_scale) return grid_of(range, shape);
  if (w.is_cuda()) return search_on_gpu(w, range, shape, options);
  Grid out;
  std::vector<Grid> pieces;  // rows in pieces: the search holds several copies of what it works on
  const int64_t step = std::max<int64_t>(1, (8 << 20) / cols);
  for (int64_t begin = 0; begin < N; begin += step) {
    const int64_t end = std::min(N, begin + step);
    pieces.push_back(search_shrink(w.slice(0, begin, end).contiguous(), {range.low.slice(0, begin, end), range.high.slice(0, begin, end)}, shape, options));
  }
  std::vector<Tensor> scale, zero;
  for (const auto& piece : pieces) scale.push_back(piece.scale), zero.push_back(piece.zero);
  out = pieces[0];
  out.scale = at::cat(scale), out.zero = at::cat(zero);
  return out;
}

namespace {

// A bit stream along the middle of (A, 32, C) codes -> (A, bits, C) words, with the library's operations: for a GPU.
Tensor pack_middle(const Tensor& codes, int bits) {
  Tensor words = at::zeros({codes.size(0), bits, codes.size(2)}, codes.options().dtype(at::kInt));
  for (int r = 0; r < 32; ++r) {
    const int word = r * bits / 32, shift = r * bits % 32;
    const Tensor code = codes.select(1, r).to(at::kInt);
    words.select(1, word).bitwise_or_(at::bitwise_left_shift(code, shift));
    if (shift + bits > 32) words.select(1, word + 1).bitwise_or_(at::bitwise_right_shift(code, 32 - shift));
  }
  return words;
}

Tensor unpack_middle(const Tensor& words, int bits) {  // (A, bits, C) -> (A, 32, C)
  const Tensor wide = words.to(at::kLong).bitwise_and(0xffffffffll);
  Tensor codes = at::empty({words.size(0), 32, words.size(2)}, words.options().dtype(at::kByte));
  for (int r = 0; r < 32; ++r) {
    const int word = r * bits / 32, shift = r * bits % 32;
    Tensor code = at::bitwise_right_shift(wide.select(1, word), shift);
    if (shift + bits > 32) code = code.bitwise_or(at::bitwise_left_shift(wide.select(1, word + 1), 32 - shift));
    codes.select(1, r).copy_(code.bitwise_and((1 << bits) - 1));
  }
  return codes;
}

// Columns filled up to a multiple of 32 with zeros, as (R * C / width, width, 1).
Tensor in_blocks(const Tensor& t, int64_t width) {
  const int64_t R = t.size(0), blocks = (t.size(1) + width - 1) / width;
  return at::constant_pad_nd(t.contiguous(), {0, blocks * width - t.size(1)}).view({R * blocks, width, 1});
}

}  // namespace

Tensor pack_bits(const Tensor& codes, int bits) {
  const int64_t R = codes.size(0), C = codes.size(1);
  TEENY_ASSERT(R % 32 == 0 && codes.scalar_type() == at::kByte);
  if (codes.is_cuda()) return pack_middle(codes.contiguous().view({R / 32, 32, C}), bits).view({R / 32 * bits, C});
  const Tensor source = codes.contiguous();
  Tensor words = at::zeros({R / 32 * bits, C}, at::kInt);
  const uint8_t* in = source.const_data_ptr<uint8_t>();
  auto* out = reinterpret_cast<uint32_t*>(words.mutable_data_ptr<int32_t>());
  at::parallel_for(0, R / 32, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block)
      for (int64_t r = 0; r < 32; ++r) {
        const int64_t bit = r * bits, word = block * bits + bit / 32;
        const int shift = int(bit % 32);
        const uint8_t* row = in + (block * 32 + r) * C;
        for (int64_t c = 0; c < C; ++c) out[word * C + c] |= uint32_t(row[c]) << shift;
        if (shift + bits > 32)
          for (int64_t c = 0; c < C; ++c) out[(word + 1) * C + c] |= uint32_t(row[c]) >> (32 - shift);
      }
  });
  return words;
}

Tensor unpack_bits(const Tensor& words, int bits, int64_t rows) {
  const int64_t C = words.size(1);
  TEENY_ASSERT(rows % 32 == 0 && words.size(0) == rows / 32 * bits && words.scalar_type() == at::kInt);
  if (words.is_cuda()) return unpack_middle(words.contiguous().view({rows / 32, bits, C}), bits).view({rows, C});
  const Tensor source = words.contiguous();
  Tensor codes = at::empty({rows, C}, at::kByte);
  const auto* in = reinterpret_cast<const uint32_t*>(source.const_data_ptr<int32_t>());
  uint8_t* out = codes.mutable_data_ptr<uint8_t>();
  const uint32_t mask = (1u << bits) - 1;
  at::parallel_for(0, rows / 32, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block)
      for (int64_t r = 0; r < 32; ++r) {
        const int64_t bit = r * bits, word = block * bits + bit / 32;
        const int shift = int(bit % 32);
        uint8_t* row = out + (block * 32 + r) * C;
        if (shift + bits > 32)
          for (int64_t c = 0; c < C; ++c) row[c] = uint8_t((in[word * C + c] >> shift | in[(word + 1) * C + c] << (32 - shift)) & mask);
        else
          for (int64_t c = 0; c < C; ++c) row[c] = uint8_t(in[word * C + c] >> shift & mask);
      }
  });
  return codes;
}

Tensor pack_rows(const Tensor& codes, int bits) {
  const int64_t R = codes.size(0), C = codes.size(1), W = (C * bits + 31) / 32;
  TEENY_ASSERT(codes.scalar_type() == at::kByte && bits >= 1 && bits <= 8);
  if (codes.is_cuda()) return pack_middle(in_blocks(codes, 32), bits).view({R, -1}).slice(1, 0, W).contiguous();
  const Tensor source = codes.contiguous();
  Tensor words = at::empty({R, W}, at::kInt);
  const uint8_t* in = source.const_data_ptr<uint8_t>();
  auto* out = reinterpret_cast<uint32_t*>(words.mutable_data_ptr<int32_t>());
  at::parallel_for(0, R, 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      uint64_t pending = 0;
      int filled = 0;
      uint32_t* row = out + r * W;
      for (int64_t c = 0; c < C; ++c) {
        pending |= uint64_t(in[r * C + c]) << filled;
        filled += bits;
        if (filled < 32) continue;
        *row++ = uint32_t(pending);
        pending >>= 32, filled -= 32;
      }
      if (filled > 0) *row = uint32_t(pending);
    }
  });
  return words;
}

Tensor unpack_rows(const Tensor& words, int bits, int64_t cols) {
  const int64_t R = words.size(0), W = words.size(1);
  TEENY_ASSERT(words.scalar_type() == at::kInt && W == (cols * bits + 31) / 32);
  if (words.is_cuda()) return unpack_middle(in_blocks(words, bits), bits).view({R, -1}).slice(1, 0, cols).contiguous();
  const Tensor source = words.contiguous();
  Tensor codes = at::empty({R, cols}, at::kByte);
  const auto* in = reinterpret_cast<const uint32_t*>(source.const_data_ptr<int32_t>());
  uint8_t* out = codes.mutable_data_ptr<uint8_t>();
  const uint32_t mask = (1u << bits) - 1;
  at::parallel_for(0, R, 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      uint64_t pending = 0;
      int filled = 0;
      const uint32_t* row = in + r * W;
      for (int64_t c = 0; c < cols; ++c) {
        if (filled < bits) pending |= uint64_t(*row++) << filled, filled += 32;
        out[r * cols + c] = uint8_t(pending & mask);
        pending >>= bits, filled -= bits;
      }
    }
  });
  return codes;
}

at::ScalarType scale_type(const EncodingSpec& spec) {
  switch (spec.scale_dtype) {
    case DType::F16: return at::kHalf;
    case DType::BF16: return at::kBFloat16;
    case DType::F32: return at::kFloat;
    default: throw Error(ErrorKind::Bug, "encoding", spec.name(), fmt::format("scales of type {} are not known", name_of(spec.scale_dtype)));
  }
}

Tensor to_stored(const Tensor& scale, const EncodingSpec& spec) {
  Tensor stored = scale.to(scale_type(spec));
  if (!stored.isfinite().all().item<bool>())
    throw input_error("encoding", spec.name(), "a scale is beyond what {} can hold; the weights are too large for this format", name_of(spec.scale_dtype));
  return stored;
}

Tensor group_order(const Tensor& g_idx, int64_t group, int64_t G, const EncodingSpec& spec) {
  const Tensor order = g_idx.to(at::kLong);
  if (order.equal(at::arange(order.size(0), order.options()).div(group, "floor"))) return {};
  if (order.min().item<int64_t>() < 0 || order.max().item<int64_t>() >= G)
    throw input_error("encoding", spec.name(), "g_idx names a group outside 0..{}; the file is damaged", G - 1);
  return order;
}

}  // namespace teeny
