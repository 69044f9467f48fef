// Bits of one block <-> codes (one byte each) and scales. Included once per instruction set (see common/lanes.h).

// One block's slice of Blocks.
struct Slot {
  uint8_t* q;
  uint16_t *d, *m;
  int8_t *sc, *mn;
};

TEENY_INLINE void put_nibbles16(const uint8_t* q, uint8_t* qs) {  // 32 codes: i and i + 16 share a byte
  for (int j = 0; j < 16; ++j) qs[j] = uint8_t((q[j] & 15) | (q[j + 16] << 4));
}
TEENY_INLINE void get_nibbles16(const uint8_t* qs, uint8_t* q) {
  for (int j = 0; j < 16; ++j) q[j] = qs[j] & 15, q[j + 16] = qs[j] >> 4;
}
TEENY_INLINE void put_nibbles32(const uint8_t* q, uint8_t* qs) {  // 256 codes: i and i + 32 of each 64 share a byte
  for (int c = 0; c < 4; ++c)
    for (int j = 0; j < 32; ++j) qs[32 * c + j] = uint8_t((q[64 * c + j] & 15) | (q[64 * c + 32 + j] << 4));
}
TEENY_INLINE void get_nibbles32(const uint8_t* qs, uint8_t* q) {
  for (int c = 0; c < 4; ++c)
    for (int j = 0; j < 32; ++j) q[64 * c + j] = qs[32 * c + j] & 15, q[64 * c + 32 + j] = qs[32 * c + j] >> 4;
}
TEENY_INLINE void put_pairs(const uint8_t* q, int shift, uint8_t* out) {  // 256 codes: 2 bits from `shift`, as Q2_K
  for (int h = 0; h < 2; ++h)
    for (int l = 0; l < 32; ++l) {
      const uint8_t* p = q + 128 * h + l;
      out[32 * h + l] = uint8_t((p[0] >> shift & 3) | (p[32] >> shift & 3) << 2 | (p[64] >> shift & 3) << 4 | (p[96] >> shift & 3) << 6);
    }
}
TEENY_INLINE void add_pairs(const uint8_t* in, int shift, uint8_t* q) {
  for (int h = 0; h < 2; ++h)
    for (int k = 0; k < 4; ++k)
      for (int l = 0; l < 32; ++l) q[128 * h + 32 * k + l] |= uint8_t((in[32 * h + l] >> (2 * k) & 3) << shift);
}
TEENY_INLINE void put_fifth(const uint8_t* q, uint8_t* qh) {
  uint32_t bits = 0;
  for (int i = 0; i < 32; ++i) bits |= uint32_t(q[i] >> 4 & 1) << i;
  for (int i = 0; i < 4; ++i) qh[i] = uint8_t(bits >> (8 * i));
}
TEENY_INLINE void add_fifth(const uint8_t* qh, uint8_t* q) {
  for (int i = 0; i < 32; ++i) q[i] |= uint8_t((qh[i / 8] >> (i % 8) & 1) << 4);
}

// The 12 bytes of 6-bit scales and minima of Q4_K and Q5_K.
TEENY_INLINE void put_scales6(const int8_t* sc, const int8_t* mn, uint8_t* out) {
  for (int s = 0; s < 4; ++s) {
    const uint8_t sc_hi = uint8_t(sc[s + 4]), mn_hi = uint8_t(mn[s + 4]);
    out[s] = uint8_t((sc[s] & 63) | (sc_hi >> 4) << 6);
    out[s + 4] = uint8_t((mn[s] & 63) | (mn_hi >> 4) << 6);
    out[s + 8] = uint8_t((sc_hi & 15) | (mn_hi & 15) << 4);
  }
}
TEENY_INLINE void get_scales6(const uint8_t* in, int8_t* sc, int8_t* mn) {
  for (int s = 0; s < 4; ++s) {
    sc[s] = in[s] & 63, mn[s] = in[s + 4] & 63;
    sc[s + 4] = int8_t((in[s + 8] & 15) | (in[s] >> 6) << 4);
    mn[s + 4] = int8_t((in[s + 8] >> 4) | (in[s + 4] >> 6) << 4);
  }
}

TEENY_INLINE void put(const Slot& s, BlockQ8_0& b) {
  b.d = *s.d;
  for (int i = 0; i < 32; ++i) b.qs[i] = int8_t(s.q[i] ^ 0x80);  // code 128 is 0
}
TEENY_INLINE void get(const BlockQ8_0& b, const Slot& s) {
  *s.d = b.d;
  for (int i = 0; i < 32; ++i) s.q[i] = uint8_t(b.qs[i]) ^ 0x80;
}
TEENY_INLINE void put(const Slot& s, BlockQ4_0& b) { b.d = *s.d, put_nibbles16(s.q, b.qs); }
TEENY_INLINE void get(const BlockQ4_0& b, const Slot& s) { *s.d = b.d, get_nibbles16(b.qs, s.q); }
TEENY_INLINE void put(const Slot& s, BlockIQ4_NL& b) { b.d = *s.d, put_nibbles16(s.q, b.qs); }
TEENY_INLINE void get(const BlockIQ4_NL& b, const Slot& s) { *s.d = b.d, get_nibbles16(b.qs, s.q); }
TEENY_INLINE void put(const Slot& s, BlockQ4_1& b) { b.d = *s.d, b.m = *s.m, put_nibbles16(s.q, b.qs); }
TEENY_INLINE void get(const BlockQ4_1& b, const Slot& s) { *s.d = b.d, *s.m = b.m, get_nibbles16(b.qs, s.q); }
TEENY_INLINE void put(const Slot& s, BlockQ5_0& b) { b.d = *s.d, put_nibbles16(s.q, b.qs), put_fifth(s.q, b.qh); }
TEENY_INLINE void get(const BlockQ5_0& b, const Slot& s) { *s.d = b.d, get_nibbles16(b.qs, s.q), add_fifth(b.qh, s.q); }
TEENY_INLINE void put(const Slot& s, BlockQ5_1& b) { b.d = *s.d, b.m = *s.m, put_nibbles16(s.q, b.qs), put_fifth(s.q, b.qh); }
TEENY_INLINE void get(const BlockQ5_1& b, const Slot& s) { *s.d = b.d, *s.m = b.m, get_nibbles16(b.qs, s.q), add_fifth(b.qh, s.q); }

TEENY_INLINE void put(const Slot& s, BlockQ2_K& b) {
  b.d = *s.d, b.dmin = *s.m;
  for (int i = 0; i < 16; ++i) b.scales[i] = uint8_t((s.sc[i] & 15) | s.mn[i] << 4);
  put_pairs(s.q, 0, b.qs);
}
TEENY_INLINE void get(const BlockQ2_K& b, const Slot& s) {
  *s.d = b.d, *s.m = b.dmin;
  for (int i = 0; i < 16; ++i) s.sc[i] = b.scales[i] & 15, s.mn[i] = int8_t(b.scales[i] >> 4);
  memset(s.q, 0, 256);
  add_pairs(b.qs, 0, s.q);
}
TEENY_INLINE void put(const Slot& s, BlockQ3_K& b) {
  b.d = *s.d;
  memset(b.scales, 0, sizeof b.scales);
  memset(b.hmask, 0, sizeof b.hmask);
  for (int i = 0; i < 16; ++i) {
    const int v = s.sc[i] + 32;
    b.scales[i % 8] |= uint8_t((v & 15) << (i < 8 ? 0 : 4));
    b.scales[8 + i % 4] |= uint8_t((v >> 4) << (2 * (i / 4)));
  }
  for (int k = 0; k < 8; ++k)
    for (int l = 0; l < 32; ++l) b.hmask[l] |= uint8_t((s.q[32 * k + l] >> 2 & 1) << k);
  put_pairs(s.q, 0, b.qs);
}
TEENY_INLINE void get(const BlockQ3_K& b, const Slot& s) {
  *s.d = b.d;
  for (int i = 0; i < 16; ++i) {
    const int low = b.scales[i % 8] >> (i < 8 ? 0 : 4) & 15, high = b.scales[8 + i % 4] >> (2 * (i / 4)) & 3;
    s.sc[i] = int8_t((low | high << 4) - 32);
  }
  for (int k = 0; k < 8; ++k)
    for (int l = 0; l < 32; ++l) s.q[32 * k + l] = uint8_t((b.hmask[l] >> k & 1) << 2);
  add_pairs(b.qs, 0, s.q);
}
TEENY_INLINE void put(const Slot& s, BlockQ4_K& b) { b.d = *s.d, b.dmin = *s.m, put_scales6(s.sc, s.mn, b.scales), put_nibbles32(s.q, b.qs); }
TEENY_INLINE void get(const BlockQ4_K& b, const Slot& s) { *s.d = b.d, *s.m = b.dmin, get_scales6(b.scales, s.sc, s.mn), get_nibbles32(b.qs, s.q); }
TEENY_INLINE void put(const Slot& s, BlockQ5_K& b) {
  b.d = *s.d, b.dmin = *s.m;
  put_scales6(s.sc, s.mn, b.scales);
  put_nibbles32(s.q, b.qs);
  memset(b.qh, 0, sizeof b.qh);
  for (int k = 0; k < 8; ++k)
    for (int l = 0; l < 32; ++l) b.qh[l] |= uint8_t((s.q[32 * k + l] >> 4 & 1) << k);
}
TEENY_INLINE void get(const BlockQ5_K& b, const Slot& s) {
  *s.d = b.d, *s.m = b.dmin;
  get_scales6(b.scales, s.sc, s.mn);
  get_nibbles32(b.qs, s.q);
  for (int k = 0; k < 8; ++k)
    for (int l = 0; l < 32; ++l) s.q[32 * k + l] |= uint8_t((b.qh[l] >> k & 1) << 4);
}
TEENY_INLINE void put(const Slot& s, BlockQ6_K& b) {
  b.d = *s.d;
  memcpy(b.scales, s.sc, 16);
  for (int h = 0; h < 2; ++h)
    for (int l = 0; l < 64; ++l) b.ql[64 * h + l] = uint8_t((s.q[128 * h + l] & 15) | s.q[128 * h + 64 + l] << 4);
  put_pairs(s.q, 4, b.qh);
}
TEENY_INLINE void get(const BlockQ6_K& b, const Slot& s) {
  *s.d = b.d;
  memcpy(s.sc, b.scales, 16);
  for (int h = 0; h < 2; ++h)
    for (int l = 0; l < 64; ++l) s.q[128 * h + l] = b.ql[64 * h + l] & 15, s.q[128 * h + 64 + l] = b.ql[64 * h + l] >> 4;
  add_pairs(b.qh, 4, s.q);
}
TEENY_INLINE void put(const Slot& s, BlockIQ4_XS& b) {
  b.d = *s.d, b.scales_h = 0;
  memset(b.scales_l, 0, sizeof b.scales_l);
  for (int i = 0; i < 8; ++i) {
    const int v = s.sc[i] + 32;
    b.scales_l[i / 2] |= uint8_t((v & 15) << (4 * (i % 2)));
    b.scales_h = uint16_t(b.scales_h | (v >> 4) << (2 * i));
    put_nibbles16(s.q + 32 * i, b.qs + 16 * i);
  }
}
TEENY_INLINE void get(const BlockIQ4_XS& b, const Slot& s) {
  *s.d = b.d;
  for (int i = 0; i < 8; ++i) {
    s.sc[i] = int8_t(((b.scales_l[i / 2] >> (4 * (i % 2)) & 15) | (b.scales_h >> (2 * i) & 3) << 4) - 32);
    get_nibbles16(b.qs + 16 * i, s.q + 32 * i);
  }
}
