// Host side of one weight format: which kernel, how many blocks, how much shared memory. One .cu file instantiates one.
#pragma once
#include <algorithm>

#include "kernels/cuda/linear.h"
#include "kernels/cuda/linear_tile.cuh"
#include "kernels/cuda/linear_unpack.cuh"

namespace teeny::cuda {

template <int Bits, int Form>
class Format {
 public:
  static void run(const PackedView& w, const LinearCall& c, cudaStream_t stream) {
    if (c.m <= 8) small<1>(w, c, stream);
    else if (c.m <= 16) small<2>(w, c, stream);
    else if (c.m <= 32) tile<4>(w, c, stream);
    else tile<8>(w, c, stream);
  }
  static void unpack(const PackedView& w, const UnpackCall& c, cudaStream_t stream) {
    const int64_t warps = c.tiles * w.layout.units();
    if (warps > 0) launch(linear_unpack<Bits, Form>, {dim3(unsigned((warps + 7) / 8)), dim3(256), 0, stream, false}, w, c);
  }

 private:
  static constexpr int kUnit = Bits * (Form >= int(ScaleForm::Super6) ? 512 : 256);           // code bytes
  static constexpr int kSmallStages = std::clamp(8192 / kUnit, 2, 6);
  template <int NT>
  static void small(const PackedView& w, const LinearCall& c, cudaStream_t stream) {
    const size_t bytes = size_t(std::max(kSmallWarps * kSmallStages * w.layout.unit_bytes(), kSmallWarps * 16 * 8 * NT * 4));
    static const bool allowed = (allow_shared(linear_small<Bits, Form, NT, kSmallStages>, 200 << 10), true);
    (void)allowed;
    const int tiles_a_block = c.store == Store::SiluPair ? 2 : 1;
    const unsigned blocks = unsigned((w.layout.tiles() + tiles_a_block - 1) / tiles_a_block);
    launch(linear_small<Bits, Form, NT, kSmallStages>, {dim3(blocks), dim3(kSmallWarps * 32), bytes, stream, true}, w, c, tiles_a_block);
  }
  template <int NT>
  static void tile(const PackedView& w, const LinearCall& c, cudaStream_t stream) {
    const auto& l = w.layout;
    const int tokens = 8 * NT, row = l.unit_columns() + 16, stage = kTilesABlock * l.unit_bytes() + tokens * row * 2;
    constexpr int kStages = kUnit <= 1024 ? 3 : 2;
    static const bool allowed = (allow_shared(linear_tile<Bits, Form, NT, kStages>, 200 << 10), true);
    (void)allowed;
    const int token_tiles = (c.m + tokens - 1) / tokens, row_blocks = int((l.tiles() + kTilesABlock - 1) / kTilesABlock), units = int(l.units());
    const int pieces = tile_pieces(token_tiles * row_blocks, units, c.partial != nullptr);
    const int units_a_piece = (units + pieces - 1) / pieces;
    launch(linear_tile<Bits, Form, NT, kStages>, {dim3(unsigned(token_tiles), unsigned(row_blocks), unsigned(pieces)), dim3(kTileWarps * 32), size_t(kStages * stage), stream, true}, w, c,
           units_a_piece);
    if (pieces > 1) add_pieces(w, c, pieces, stream);
  }
};

}  // namespace teeny::cuda
