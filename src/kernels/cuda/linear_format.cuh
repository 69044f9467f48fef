// Host side of one weight format: which kernel, how many blocks, how much shared memory. One .cu file instantiates one.
#pragma once
#include <algorithm>

#include "kernels/cuda/linear.h"
#include "kernels/cuda/linear_tile.cuh"
#include "kernels/cuda/linear_unpack.cuh"
#include "kernels/cuda/linear_wide.cuh"

namespace teeny::cuda {

template <int Bits, int Form>
class Format {
 public:
  static void run(const PackedView& w, const LinearCall& c, cudaStream_t stream) {
    if (c.m <= 8) {
      if (c.store == Store::SiluPair || c.m > 2) small<1, 2>(w, c, stream);
      else small<1, 1>(w, c, stream);
    } else if (has_wgmma()) {
      if (c.m <= 16) wide<16>(w, c, stream);
      else if (c.m <= 64) wide<64>(w, c, stream);
      else if (c.m <= 128) wide<128>(w, c, stream);
      else wide<192>(w, c, stream);
    } else {
      if (c.m <= 32) tile<4>(w, c, stream);
      else tile<8>(w, c, stream);
    }
  }
  static void unpack(const PackedView& w, const UnpackCall& c, cudaStream_t stream) {
    const int64_t warps = c.tiles * w.layout.units();
    if (warps > 0) launch(linear_unpack<Bits, Form>, {dim3(unsigned((warps + 7) / 8)), dim3(256), 0, stream, false}, w, c);
  }

 private:
  static constexpr bool kSuper = Form >= int(ScaleForm::Super6);
  static constexpr int kUnit = Bits * (kSuper ? 512 : 256);  // code bytes
  static constexpr int kSharedLimit = 227 << 10;
  template <auto Kernel>
  static void allow() {
    static const bool allowed = (allow_shared(Kernel, kSharedLimit), true);
    (void)allowed;
  }

  template <int NT, int RT>
  static void small(const PackedView& w, const LinearCall& c, cudaStream_t stream) {
    constexpr int kWarps = kUnit > 1024 ? 4 : 8, kStages = std::clamp(8192 / kUnit / RT, 2, 5);
    constexpr auto kernel = linear_small<Bits, Form, NT, RT, kWarps, kStages>;
    allow<kernel>();
    const size_t ring = size_t(kWarps * kStages) * size_t(RT * w.layout.unit_bytes() + c.m * kInputRow<Form>), sums = size_t(kWarps) * RT * 16 * 8 * NT * 4;
    launch(kernel, {dim3(unsigned((w.layout.tiles() + RT - 1) / RT)), dim3(kWarps * 32), std::max(ring, sums), stream, true}, w, c);
  }
  template <int N>
  static void wide(const PackedView& w, const LinearCall& c, cudaStream_t stream) {
    const auto& l = w.layout;
    constexpr int kStages = N <= 64 ? (Bits == 16 ? 4 : 6) : Bits == 16 ? 4 : 5;
    constexpr auto kernel = linear_wide<Bits, Form, N, kStages>;
    allow<kernel>();
    const int stage = (N * 128 + kWideTiles * (Half64<Bits>::kBytes + l.scale_bytes()) + 1023) / 1024 * 1024;
    const int sums = N * (kWideTiles * 16 + 4) * 4, bytes = std::max(kStages * stage, sums);
    const int token_tiles = (c.m + N - 1) / N, row_blocks = int((l.tiles() + kWideTiles - 1) / kWideTiles), units = int(l.units());
    const int resident = bytes * 2 <= kSharedLimit && N <= 64 ? 2 : 1;
    const int pieces = pieces_of_k(token_tiles * row_blocks, resident * multiprocessors(), units, c.partial != nullptr), units_a_piece = (units + pieces - 1) / pieces;
    const int used = (units + units_a_piece - 1) / units_a_piece;
    launch(kernel, {dim3(unsigned(token_tiles), unsigned(row_blocks), unsigned(used)), dim3(kWideThreads), size_t(bytes), stream, true}, w, c, units_a_piece);
    if (used > 1) add_pieces(w, c, used, 1.0f, stream);
  }
  template <int NT>
  static void tile(const PackedView& w, const LinearCall& c, cudaStream_t stream) {
    const auto& l = w.layout;
    constexpr int kStages = kUnit <= 1024 ? 3 : 2;
    constexpr auto kernel = linear_tile<Bits, Form, NT, kStages>;
    allow<kernel>();
    const int tokens = 8 * NT, stage = kTilesABlock * l.unit_bytes() + tokens * (l.unit_columns() + 8) * 2;
    const int token_tiles = (c.m + tokens - 1) / tokens, row_blocks = int((l.tiles() + kTilesABlock - 1) / kTilesABlock), units = int(l.units());
    const int pieces = pieces_of_k(token_tiles * row_blocks, 2 * multiprocessors(), units, c.partial != nullptr), units_a_piece = (units + pieces - 1) / pieces;
    const int used = (units + units_a_piece - 1) / units_a_piece;
    launch(kernel, {dim3(unsigned(token_tiles), unsigned(row_blocks), unsigned(used)), dim3(kTileWarps * 32), size_t(kStages * stage), stream, true}, w, c, units_a_piece);
    if (used > 1) add_pieces(w, c, used, Bits < 16 ? kCodeUnit : 1.0f, stream);
  }
};

}  // namespace teeny::cuda
