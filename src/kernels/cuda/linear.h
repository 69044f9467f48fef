// Private to the kernels of packed linears: one pair of functions per format, and what they share.
#pragma once
#include "teeny/kernels/packed_linear.h"

namespace teeny::cuda {

struct UnpackCall;
struct FormatKernels {
  int bits;
  ScaleForm form;  // Half stands for None, Row, Half and HalfZero
  void (*run)(const PackedView&, const LinearCall&, cudaStream_t);
  void (*unpack)(const PackedView&, const UnpackCall&, cudaStream_t);
  void (*large)(const PackedView&, const LinearCall&, cudaStream_t) = nullptr;
};
FormatKernels format_2(), format_2_super(), format_3(), format_3_super(), format_4(), format_4_super(), format_4_min(), format_5(), format_5_super(), format_5_min(), format_6_super(), format_8(),
    format_8_super(), format_16();

int multiprocessors();
int shared_limit();              // bytes of dynamic shared memory that a block may have, beside a few static ones
int shared_of_multiprocessor();  // bytes, of which each of its blocks takes one KB more than it asks for
bool has_wgmma();                // Hopper
bool has_clusters();             // 9.0 and above
// Pieces of K so that a grid of `blocks` becomes about `wanted`; no piece is shorter than a few units.
int pieces_of_k(int blocks, int wanted, int units, bool may_split);
// Into how many parts of their tokens (1, 2, 4) linear_large cuts the tiles of its last round, for `most` clusters at a time.
int large_parts(int tiles, int most);
// How linear_middle and linear_wide cut K: stages of a block's ring (the former's), and pieces, which the blocks of a cluster have.
struct MiddleShape {
  int stages, pieces;
};
inline constexpr int kMiddleStages = 8, kMiddlePieces = 8;  // at most
// `stage` and `beside`: bytes; of a stage, and of what a block has beside its ring. `resident`: blocks that a multiprocessor has registers for.
int middle_stages(int stage, int resident, int beside);
// `clusters`: how many of 1, 2 .. kMiddlePieces blocks the device holds at a time.
int middle_pieces(int bits, int row_blocks, int units, const int (&clusters)[kMiddlePieces]);
// What linear_tile and linear_wide left in c.partial becomes the result; `unit` as in finished().
void add_pieces(const PackedView& w, const LinearCall& c, int pieces, float unit, cudaStream_t stream);

}  // namespace teeny::cuda
