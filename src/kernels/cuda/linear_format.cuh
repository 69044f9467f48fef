// Host side of one weight format: which kernel, how many blocks, how much shared memory. One .cu file instantiates one.
#pragma once
#include <algorithm>

#include "kernels/cuda/linear.h"
#include "kernels/cuda/linear_large.cuh"
#include "kernels/cuda/linear_middle.cuh"
#include "kernels/cuda/linear_tile.cuh"
#include "kernels/cuda/linear_unpack.cuh"
#include "kernels/cuda/linear_wide.cuh"

namespace teeny::cuda {

template <int Bits, int Form>
class Format {
 public:
  static void run(const PackedView& w, const LinearCall& c, cudaStream_t stream) {
    if (c.m <= kFewTokens) {
      if (c.m > 1) small<2, false>(w, c, stream);
      else if constexpr (kSuper || kUnit <= 1024) small<2, true>(w, c, stream);
      else if (c.store == Store::SiluPair) small<2, true>(w, c, stream);
      else small<1, true>(w, c, stream);
    } else if (c.m <= kMiddleTokens && has_clusters()) {
      middle(w, c, stream);
    } else if (has_wgmma()) {
      if (c.m <= 32) wide<32>(w, c, stream);
      else if (c.m <= 64) wide<64>(w, c, stream);
      else if (c.m <= 128) wide<128>(w, c, stream);
      else wide<192>(w, c, stream);
    } else {
      if (c.m <= 16) tile<2>(w, c, stream);
      else tile<kLarge ? 2 : kSuper ? 4 : 8>(w, c, stream);  // (99 KB on consumer devices)
    }
  }
  static void large(const PackedView& w, const LinearCall& c, cudaStream_t stream) {
    const int bytes = LargeRings<Bits, Form>::bytes(w.layout.unit_bytes()), token_tiles = (c.m + kLargeTokens - 1) / kLargeTokens;
    const int tiles = int((w.layout.tiles() / 8 + kLargeCluster - 1) / kLargeCluster) * token_tiles;
    const auto run = [&]<int GS>() {
      constexpr auto kernel = linear_large<Bits, Form, GS>;
      allow<kernel>();
      static const int most = resident_clusters(kernel, kLargeThreads, shared_limit(), kLargeCluster);
      const int parts = large_parts(tiles, most), clusters = tiles < most ? tiles * parts : most;
      launch(kernel, {dim3(unsigned(clusters * kLargeCluster)), dim3(kLargeThreads), size_t(bytes), stream, true, kLargeCluster}, w, c, tile_shape(w.layout), token_tiles, parts);
    };
    const int steps = tile_shape(w.layout).group_steps;
    if constexpr (kSuper) {
      run.template operator()<UnitScales<Form>::kGroup / 16>();
    } else if constexpr (Form != kPlainForm) {
      run.template operator()<kSomeSteps>();
    } else {
      if (steps == 8) run.template operator()<8>();
      else if (steps == 0) run.template operator()<0>();
      else if (w.layout.form == ScaleForm::HalfZero) run.template operator()<kSomeZeros>();
      else run.template operator()<kSomeSteps>();
    }
  }
  static void unpack(const PackedView& w, const UnpackCall& c, cudaStream_t stream) {
    const int64_t warps = c.tiles * w.layout.units();
    if (warps > 0) launch(linear_unpack<Bits, Form>, {dim3(unsigned((warps + 7) / 8)), dim3(256), 0, stream, false}, w, c, tile_shape(w.layout));
  }

 private:
  static constexpr bool kSuper = Form >= int(ScaleForm::Super6);
  static constexpr int kUnit = Bits * (kSuper ? 512 : 256);  // code bytes
  static constexpr bool kLarge = kSuper && Bits == 8;  // units that take much of a small device's shared memory
  template <auto Kernel, int Static = 0>  // bytes of static shared memory, beyond a few
  static void allow() {
    static const bool allowed = (allow_shared(Kernel, size_t(shared_limit() - Static)), true);
    (void)allowed;
  }

  template <int RT, bool One, int kWarps = 4>
  static void small(const PackedView& w, const LinearCall& c, cudaStream_t stream) {
    constexpr int kStages = std::clamp(8192 / kUnit / RT, 2, 4), kHalves = kSuper ? 4 : 2;
    constexpr auto kernel = linear_small<Bits, Form, RT, kWarps, kStages, One>;
    allow<kernel>();
    const int blocks = int((w.layout.N + 16 * RT - 1) / (16 * RT)), units = int(w.layout.units());
    // Up to four blocks a multiprocessor, two blocks a tile: whole numbers of blocks fall less unevenly.
    const int shared_by = has_clusters() && c.store != Store::SiluPair && blocks <= 4 * multiprocessors() ? 2 : 1;
    const int units_a_warp = (units + shared_by * kWarps - 1) / (shared_by * kWarps), inputs = kHalves * c.m * 128;
    const int ring = kWarps * (kStages * RT * w.layout.unit_bytes() + (One ? units_a_warp : kStages) * inputs), sums = kWarps * RT * 16 * 8 * 4;
    if (ring > shared_limit()) {
      if constexpr (kLarge && kWarps == 4) return small<RT, One, 2>(w, c, stream);
      refuse("a row of this weight is too long for this device's shared memory");
    }
    launch(kernel, {dim3(unsigned(blocks * shared_by)), dim3(kWarps * 32), size_t(std::max(ring, sums)), stream, true, shared_by}, w, c, tile_shape(w.layout), shared_by, units_a_warp);
  }
  // Pieces of K for a kernel whose clusters have them all. `blocks`: of rows and tokens.
  template <auto Kernel>
  static int cluster_pieces(int blocks, int units, int threads, int bytes) {
    thread_local int counted = 0, clusters[kMiddlePieces];  // how many the device holds of 1, 2 .. blocks with so many bytes
    if (counted != bytes) {
      for (int i = 0; i < kMiddlePieces; ++i) clusters[i] = resident_clusters(Kernel, threads, bytes, i + 1);
      counted = bytes;
    }
    return middle_pieces(Bits, blocks, units, clusters);
  }
  // Blocks of 8 tiles, a cluster of as many as K has pieces.
  static void middle(const PackedView& w, const LinearCall& c, cudaStream_t stream) {
    const TileShape shape = tile_shape(w.layout);
    const int stage = 8 * shape.unit_bytes + w.layout.halves() * kMiddleTokens * 128, row_blocks = shape.tiles / 8;
    with_steps(w, [&]<int GS>() {
      using Block = MiddleBlock<Bits, Form, GS>;
      constexpr auto kernel = linear_middle<Bits, Form, GS>;
      allow<kernel, Block::kStatic>();
      const int stages = middle_stages(stage, Block::kResident, Block::kStatic), bytes = std::max(stages * stage, kMiddleTokens * kMiddleStride * 4);
      const int pieces = cluster_pieces<kernel>(row_blocks, shape.units, kMiddleThreads, bytes);
      launch(kernel, {dim3(unsigned(pieces), unsigned(row_blocks)), dim3(kMiddleThreads), size_t(bytes), stream, true, pieces}, w, c, shape, MiddleShape{stages, pieces});
    });
  }
  template <int N>
  static void wide(const PackedView& w, const LinearCall& c, cudaStream_t stream) {
    using Rings = WideRings<Bits, Form, N>;
    const TileShape shape = tile_shape(w.layout);
    const int ring = Rings::weights(shape.unit_bytes, shared_of_multiprocessor(), shared_limit()), bytes = Rings::bytes(shape.unit_bytes, ring), row_blocks = shape.tiles / 8, token_tiles = (c.m + N - 1) / N;
    const auto run = [&]<int GS>() {
      constexpr auto kernel = linear_wide<Bits, Form, N, GS>;
      allow<kernel, Rings::kStatic>();
      const int pieces = cluster_pieces<kernel>(row_blocks * token_tiles, shape.units, Rings::kThreads, bytes);
      launch(kernel, {dim3(unsigned(pieces), unsigned(row_blocks), unsigned(token_tiles)), dim3(Rings::kThreads), size_t(bytes), stream, true, pieces}, w, c, shape, WideShape{ring, pieces});
    };
    if constexpr (kSuper) {
      run.template operator()<UnitScales<Form>::kGroup / 16>();
    } else if constexpr (Bits == 16) {
      run.template operator()<0>();
    } else if constexpr (Form != kPlainForm) {
      run.template operator()<kSomeSteps>();
    } else {
      const bool zeros = w.layout.form == ScaleForm::HalfZero;
      if (shape.group_steps == 0) run.template operator()<0>();
      else if (shape.group_steps == 8) zeros ? run.template operator()<kEightZeros>() : run.template operator()<kEightSteps>();
      else zeros ? run.template operator()<kSomeZeros>() : run.template operator()<kSomeSteps>();
    }
  }
  // Calls body<GS>() for the steps that this weight's groups have.
  template <class F>
  static void with_steps(const PackedView& w, F&& body) {
    const int steps = tile_shape(w.layout).group_steps;
    if constexpr (kSuper) {
      body.template operator()<UnitScales<Form>::kGroup / 16>();
    } else if constexpr (Bits == 16) {
      body.template operator()<0>();
    } else if constexpr (Form == int(ScaleForm::HalfMin)) {
      if (steps == 2) body.template operator()<2>();
      else body.template operator()<1>();
    } else {
      if (steps == 8) body.template operator()<8>();
      else if (steps == 4) body.template operator()<4>();
      else if (steps == 2) body.template operator()<2>();
      else if (steps == 0) body.template operator()<0>();
      else body.template operator()<1>();
    }
  }
  template <int NT>
  static void tile(const PackedView& w, const LinearCall& c, cudaStream_t stream) {
    static_assert(panel_rows(NT == 2 ? kFewTokens + 1 : kMiddleTokens + 1) % (8 * NT) == 0);  // it reads all its tokens, real or not
    constexpr int kStages = kUnit <= 1024 ? 3 : 2;
    constexpr auto kernel = linear_tile<Bits, Form, NT, kStages>;
    allow<kernel>();
    const int stage = 8 * w.layout.unit_bytes() + w.layout.halves() * NT * 8 * 128;
    const int token_tiles = (c.m + 8 * NT - 1) / (8 * NT), row_blocks = int(w.layout.tiles() / 8), units = int(w.layout.units());
    const int pieces = pieces_of_k(token_tiles * row_blocks, 2 * multiprocessors(), units, c.partial != nullptr), units_a_piece = (units + pieces - 1) / pieces;
    const int used = (units + units_a_piece - 1) / units_a_piece;
    launch(kernel, {dim3(unsigned(token_tiles), unsigned(row_blocks), unsigned(used)), dim3(kTileWarps * 32), size_t(kStages * stage), stream, true}, w, c, tile_shape(w.layout), units_a_piece);
    if (used > 1) add_pieces(w, c, used, Bits < 16 ? kCodeUnit : 1.0f, stream);
  }
};

}  // namespace teeny::cuda
