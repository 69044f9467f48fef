// GGML's block layouts, byte for byte (little-endian; d, m, dmin are fp16 bits). A row of K weights is K / elements
// blocks back to back. Source: ggml's ggml-common.h; element orders are spelled out at each block.
#pragma once
#include <cstdint>

namespace teeny::ggml {

struct BlockQ8_0 {  // 32 weights: d * qs[i]
  uint16_t d;
  int8_t qs[32];
};
struct BlockQ4_0 {  // 32 weights: d * (q - 8); byte j: weight j low nibble, j + 16 high
  uint16_t d;
  uint8_t qs[16];
};
struct BlockQ4_1 {  // 32 weights: d * q + m; nibbles as Q4_0
  uint16_t d, m;
  uint8_t qs[16];
};
struct BlockQ5_0 {  // 32 weights: d * (q - 16); nibbles as Q4_0, fifth bit of weight i is bit i of qh
  uint16_t d;
  uint8_t qh[4];
  uint8_t qs[16];
};
struct BlockQ5_1 {  // 32 weights: d * q + m; bits as Q5_0
  uint16_t d, m;
  uint8_t qh[4];
  uint8_t qs[16];
};
struct BlockQ2_K {     // 16 sub-blocks of 16: d * sc * q - dmin * mn, q 0..3
  uint8_t scales[16];  // low nibble sc, high nibble mn
  uint8_t qs[64];      // per half of 128: byte l holds weights l, l+32, l+64, l+96 in bit pairs 0, 2, 4, 6
  uint16_t d, dmin;
};
struct BlockQ3_K {     // 16 sub-blocks of 16: d * (sc - 32) * (q - 4), q 0..7
  uint8_t hmask[32];   // high bit of weight e: byte e % 32, bit e / 32
  uint8_t qs[64];      // low two bits, as Q2_K
  uint8_t scales[12];  // sc low nibbles: byte s low (s < 8) or byte s-8 high; high pairs: byte 8 + s%4 at 2 * (s/4)
  uint16_t d;
};
struct BlockQ4_K {     // 8 sub-blocks of 32: d * sc * q - dmin * mn, q 0..15
  uint16_t d, dmin;
  uint8_t scales[12];  // s < 4: sc in scales[s]&63, mn in scales[s+4]&63; s >= 4: nibbles of scales[s+4], high pairs above
  uint8_t qs[128];     // per 64 weights 32 bytes: first 32 low nibbles, next 32 high
};
struct BlockQ5_K {  // as Q4_K with a fifth bit: qh[l] bit 2c for the first 32 of chunk c of 64, bit 2c+1 for the next 32
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};
struct BlockQ6_K {     // 16 sub-blocks of 16: d * sc * (q - 32), q 0..63
  uint8_t ql[128];     // per half of 128, l = 0..31: weights l, l+32 low nibbles of ql[l], ql[l+32]; l+64, l+96 high
  uint8_t qh[64];      // per half: pairs of weights l, l+32, l+64, l+96 at bits 0, 2, 4, 6 of qh[l]
  int8_t scales[16];
  uint16_t d;
};
struct BlockIQ4_NL {  // 32 weights: d * table[q]; nibbles as Q4_0
  uint16_t d;
  uint8_t qs[16];
};
struct BlockIQ4_XS {  // 8 sub-blocks of 32: d * (ls - 32) * table[q]
  uint16_t d;
  uint16_t scales_h;    // high pair of sub-block s at 2 s
  uint8_t scales_l[4];  // low nibble of sub-block s: byte s/2, nibble s%2
  uint8_t qs[128];      // 16 bytes a sub-block, nibbles as Q4_0
};

static_assert(sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20);
static_assert(sizeof(BlockQ5_0) == 22 && sizeof(BlockQ5_1) == 24 && sizeof(BlockQ2_K) == 84);
static_assert(sizeof(BlockQ3_K) == 110 && sizeof(BlockQ4_K) == 144 && sizeof(BlockQ5_K) == 176);
static_assert(sizeof(BlockQ6_K) == 210 && sizeof(BlockIQ4_NL) == 18 && sizeof(BlockIQ4_XS) == 136);

// The codebook of the IQ4 types. (A function, because code for GPUs may not look into a table of the host.)
constexpr float iq4_value(int code) {
  constexpr float table[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  return table[code];
}

}  // namespace teeny::ggml
