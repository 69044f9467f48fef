// Norms, attention and token choice on the GPU against plain loops.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include <fmt/format.h>

#include "teeny/core/half.h"
#include "teeny/kernels/decode_step.h"

namespace teeny {
namespace {

template <class T>
cuda::Buffer on_device(const std::vector<T>& host) {
  cuda::Buffer out(std::max<size_t>(host.size() * sizeof(T), 16));
  out.upload(host.data(), host.size() * sizeof(T));
  return out;
}
template <class T>
std::vector<T> from_device(const cuda::Buffer& buffer, size_t count) {
  std::vector<T> out(count);
  buffer.download(out.data(), count * sizeof(T));
  return out;
}
std::vector<float> uniform(size_t count, uint64_t seed, double low = -1, double high = 1) {
  std::mt19937_64 random(seed);
  std::vector<float> out(count);
  for (auto& x : out) x = float(low + (high - low) * double(random() >> 11) * 0x1p-53);
  return out;
}

class DecodeStep : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << "no GPU";
  }
};

TEST_F(DecodeStep, NormEqualsItsDefinition) {
  for (const int64_t H : {256, 1536, 5120, 10240}) {
    const int64_t m = 3, ld = H + 64;
    auto h = uniform(size_t(m * H), 1, -3, 3);
    for (int64_t i = 0; i < H; ++i) h[size_t(2 * H + i)] *= 1e5f;
    const auto weight = uniform(size_t(H), 2, 0, 2);
    const auto h_d = on_device(h), weight_d = on_device(weight);
    cuda::Buffer x(size_t(m * ld) * 2);
    x.fill(0);
    cuda::rms_norm(h_d.data<float>(), weight_d.data<float>(), 1e-6f, m, H, {x.data(), ld, 0}, nullptr);
    const auto got = from_device<uint16_t>(x, size_t(m * ld));
    for (int64_t t = 0; t < m; ++t) {
      double sum = 0;
      for (int64_t i = 0; i < H; ++i) sum += double(h[size_t(t * H + i)]) * h[size_t(t * H + i)];
      const double scale = 1 / std::sqrt(sum / double(H) + 1e-6);
      for (int64_t i = 0; i < H; ++i) {
        const double expected = h[size_t(t * H + i)] * scale * weight[size_t(i)];
        ASSERT_NEAR(half_to_float(got[size_t(t * ld + i)]), expected, std::abs(expected) * 0x1p-10 + 1e-6) << H << " " << t << " " << i;
      }
      EXPECT_EQ(got[size_t(t * ld + H)], 0);
    }
  }
}

struct AttentionCase {
  int heads, kv, D;
  std::vector<int> positions;
  int splits;
  bool norm;
};

TEST_F(DecodeStep, AttentionEqualsItsDefinition) {
  const std::vector<AttentionCase> cases{{4, 2, 64, {0, 5, 31, 32, 100}, 1, false}, {10, 2, 128, {0, 200, 77}, 4, true}, {8, 1, 128, {700}, 16, false},
                                         {6, 6, 96, {33, 300}, 3, true},            {5, 1, 256, {129}, 5, false},        {40, 8, 128, {4100, 3}, 32, false}};
  size_t largest = 0;
  for (const auto& test : cases) largest = std::max(largest, cuda::attend_scratch_bytes(test.heads, test.D, int(test.positions.size()), test.splits));
  cuda::Buffer scratch(largest);  // one for all, as the engine has it
  scratch.fill(0);
  for (const auto& test : cases) {
    const int m = int(test.positions.size()), G = test.heads / test.kv, D = test.D, slots = m + 1, width = test.kv * D;
    const int capacity = *std::max_element(test.positions.begin(), test.positions.end()) + 3, all = (test.heads + 2 * test.kv) * D;
    const auto qkv = uniform(size_t(m * all), 3, -2, 2);
    auto k = uniform(size_t(slots * capacity * width), 4), v = uniform(size_t(slots * capacity * width), 5);
    std::vector<uint16_t> k_half, v_half;
    for (auto& x : k) k_half.push_back(float_to_half(x)), x = half_to_float(k_half.back());
    for (auto& x : v) v_half.push_back(float_to_half(x)), x = half_to_float(v_half.back());
    const auto cos = uniform(size_t(capacity * D), 6), sin = uniform(size_t(capacity * D), 7), q_norm = uniform(size_t(D), 8, 0.5, 1.5), k_norm = uniform(size_t(D), 9, 0.5, 1.5);
    std::vector<int32_t> position(test.positions.begin(), test.positions.end()), slot;
    for (int i = 0; i < m; ++i) slot.push_back(m - i);
    const auto qkv_d = on_device(qkv), cos_d = on_device(cos), sin_d = on_device(sin), qn_d = on_device(q_norm), kn_d = on_device(k_norm), k_d = on_device(k_half), v_d = on_device(v_half);
    const auto position_d = on_device(position), slot_d = on_device(slot);
    cuda::Buffer x(size_t(m * test.heads * D) * 2);
    const cuda::HeadShape shape{test.heads, test.kv, D, 1e-6f, test.norm ? qn_d.data<float>() : nullptr, test.norm ? kn_d.data<float>() : nullptr, cos_d.data<float>(), sin_d.data<float>()};
    for (int run = 0; run < 2; ++run)  // the second finds what the first left in the scratch
      cuda::attend(shape, qkv_d.data<float>(), all, position_d.data<int32_t>(), slot_d.data<int32_t>(), m, {k_d.data(), v_d.data(), capacity}, test.splits, scratch.data(),
                   {x.data(), test.heads * D, 0}, nullptr);
    const auto got = from_device<uint16_t>(x, size_t(m * test.heads * D));
    const auto rotate = [&](const float* in, const std::vector<float>& weight, int at) {
      std::vector<double> out(in, in + D);
      if (test.norm) {
        double sum = 0;
        for (const double a : out) sum += a * a;
        for (int i = 0; i < D; ++i) out[size_t(i)] *= weight[size_t(i)] / std::sqrt(sum / D + 1e-6);
      }
      const auto before = out;
      for (int i = 0; i < D; ++i)
        out[size_t(i)] = before[size_t(i)] * cos[size_t(at * D + i)] + (i < D / 2 ? -before[size_t(i + D / 2)] : before[size_t(i - D / 2)]) * sin[size_t(at * D + i)];
      return out;
    };
    for (int t = 0; t < m; ++t)
      for (int h = 0; h < test.heads; ++h) {
        const int kh = h / G, length = position[size_t(t)] + 1;
        const auto q = rotate(&qkv[size_t(t * all + h * D)], q_norm, length - 1), fresh = rotate(&qkv[size_t(t * all + (test.heads + kh) * D)], k_norm, length - 1);
        std::vector<double> score, out(static_cast<size_t>(D), 0);
        const auto at = [&](int j) { return size_t((slot[size_t(t)] * capacity + j) * width + kh * D); };
        for (int j = 0; j < length; ++j) {
          double s = 0;
          for (int i = 0; i < D; ++i) s += q[size_t(i)] * (j == length - 1 ? half_to_float(float_to_half(float(fresh[size_t(i)]))) : k[at(j) + size_t(i)]);
          score.push_back(s / std::sqrt(double(D)));
        }
        const double top = *std::max_element(score.begin(), score.end());
        double sum = 0;
        for (auto& s : score) sum += s = std::exp(s - top);
        for (int j = 0; j < length; ++j)
          for (int i = 0; i < D; ++i)
            out[size_t(i)] += score[size_t(j)] / sum * (j == length - 1 ? half_to_float(float_to_half(qkv[size_t(t * all + (test.heads + test.kv + kh) * D + i)])) : v[at(j) + size_t(i)]);
        for (int i = 0; i < D; ++i)
          ASSERT_NEAR(half_to_float(got[size_t((t * test.heads + h) * D + i)]), out[size_t(i)], 2e-3) << test.heads << " " << D << " row " << t << " head " << h << " " << i;
      }
  }
}

TEST_F(DecodeStep, ManyTokensAreRotatedIntoTheCache) {
  for (const int D : {64, 96, 128, 256})
    for (const bool full : {false, true}) {  // with bias and norms of heads, or without
      const int T = 5, heads = 6, kv = 2, all = (heads + 2 * kv) * D, width = kv * D, rows = T + 2;
      const auto qkv_values = uniform(size_t(T * all), 1, -2, 2), bias = uniform(size_t(all), 2, -3, 3), cos = uniform(size_t(rows * D), 3), sin = uniform(size_t(rows * D), 4),
                 q_norm = uniform(size_t(D), 5, 0.5, 1.5), k_norm = uniform(size_t(D), 6, 0.5, 1.5);
      std::vector<uint16_t> qkv;
      for (const float x : qkv_values) qkv.push_back(float_to_half(x));
      const std::vector<int32_t> position{1, 0, 6, 2, 3}, row{4, 1, 0, 6, 2};
      const auto qkv_d = on_device(qkv), bias_d = on_device(bias), cos_d = on_device(cos), sin_d = on_device(sin), qn_d = on_device(q_norm), kn_d = on_device(k_norm), position_d = on_device(position),
                 row_d = on_device(row);
      cuda::Buffer q(size_t(T * heads * D) * 2), k(size_t(rows * width) * 2), v(size_t(rows * width) * 2);
      const cuda::HeadShape shape{heads, kv, D, 1e-6f, full ? qn_d.data<float>() : nullptr, full ? kn_d.data<float>() : nullptr, cos_d.data<float>(), sin_d.data<float>()};
      cuda::rope_and_cache(shape, qkv_d.data(), all, full ? bias_d.data<float>() : nullptr, position_d.data<int32_t>(), row_d.data<int32_t>(), T, {k.data(), v.data(), rows}, q.data(), nullptr);
      const auto got_q = from_device<uint16_t>(q, size_t(T * heads * D)), got_k = from_device<uint16_t>(k, size_t(rows * width)), got_v = from_device<uint16_t>(v, size_t(rows * width));
      for (int t = 0; t < T; ++t)
        for (int head = 0; head < heads + 2 * kv; ++head) {
          const bool is_q = head < heads, is_v = head >= heads + kv;
          std::vector<double> x;
          double sum = 0;
          for (int i = 0; i < D; ++i) x.push_back(half_to_float(qkv[size_t(t * all + head * D + i)]) + (full ? bias[size_t(head * D + i)] : 0.0f)), sum += x.back() * x.back();
          for (int i = 0; i < D && full && !is_v; ++i) x[size_t(i)] *= (is_q ? q_norm : k_norm)[size_t(i)] / std::sqrt(sum / D + 1e-6);
          const size_t angle = size_t(position[size_t(t)] * D), cached = size_t(row[size_t(t)] * width);
          for (int i = 0; i < D; ++i) {
            const double other = i < D / 2 ? -x[size_t(i + D / 2)] : x[size_t(i - D / 2)];
            const double expected = is_v ? x[size_t(i)] : x[size_t(i)] * cos[angle + size_t(i)] + other * sin[angle + size_t(i)];
            const uint16_t got = is_q ? got_q[size_t((t * heads + head) * D + i)] : is_v ? got_v[cached + size_t((head - heads - kv) * D + i)] : got_k[cached + size_t((head - heads) * D + i)];
            ASSERT_NEAR(half_to_float(got), expected, std::abs(expected) * 0x1p-10 + 1e-5) << D << " " << full << " token " << t << " head " << head << " " << i;
          }
        }
    }
}

TEST_F(DecodeStep, GateTimesUpEqualsItsDefinition) {
  for (const auto& [m, I] : {std::pair<int64_t, int64_t>{3, 24}, {3, 100}, {3, 4864}, {3, 13824}, {32778, 24}, {32778, 12}}) {  // 100: no multiple of what is loaded at once; 32778: more than a grid takes
    const int64_t ldg = 2 * I + 8, ld = I + 8;
    const auto values = uniform(size_t(m * ldg), 1, -9, 9);
    std::vector<uint16_t> halves;
    for (const float x : values) halves.push_back(float_to_half(x));
    const auto halves_d = on_device(halves);
    cuda::Buffer out(size_t(m * ld) * 2);
    cuda::silu_multiply(halves_d.data(), false, ldg, m, I, {out.data(), ld, 0}, nullptr);
    const auto got = from_device<uint16_t>(out, size_t(m * ld));
    for (int64_t t = 0; t < m; ++t)
      for (int64_t i = 0; i < I; ++i) {
        const double gate = half_to_float(halves[size_t(t * ldg + i)]), up = half_to_float(halves[size_t(t * ldg + I + i)]), expected = gate / (1 + std::exp(-gate)) * up;
        ASSERT_NEAR(half_to_float(got[size_t(t * ld + i)]), expected, std::abs(expected) * 0x1p-9 + 1e-5) << I << " " << t << " " << i;
      }
  }
}

TEST_F(DecodeStep, RowsBecomePanels) {
  for (const int m : {5, 32778}) {
    const int64_t K = 72, ld = 80;
    const int rows = cuda::large_panel_rows(m);
    std::vector<uint16_t> values(size_t(m * ld));
    for (size_t i = 0; i < values.size(); ++i) values[i] = uint16_t(i * 7919);
    const auto values_d = on_device(values);
    cuda::Buffer panels(cuda::Activations::panel_bytes(128, rows));
    panels.fill(0);
    cuda::to_panels(values_d.data(), ld, m, K, {panels.data(), 0, rows}, nullptr);
    const auto got = from_device<uint16_t>(panels, size_t(128 * rows));
    for (int64_t t = 0; t < m; ++t)
      for (int64_t k = 0; k < 128; ++k) ASSERT_EQ(got[size_t((k / 64 * rows + t) * 64 + ((k / 8 ^ t) & 7) * 8 + k % 8)], k < K ? values[size_t(t * ld + k)] : 0) << t << " " << k;
  }
}

TEST_F(DecodeStep, TheLowestIndexOfTheLargestIsPicked) {
  const int m = 3, V = 4099;
  auto logits = uniform(size_t(m * V), 1, -9, -1);
  logits[17] = -0.5f, logits[4000] = -0.5f, logits[size_t(V) + 4098] = 3, logits[size_t(2 * V)] = 1;
  const auto logits_d = on_device(logits);
  auto position = on_device(std::vector<int32_t>{5, 6, 7}), step = on_device(std::vector<int32_t>{0, 0, 0}), next = on_device(std::vector<int32_t>{0, 0, 0});
  cuda::Buffer history(size_t(m) * 2 * 4), scratch(cuda::pick_scratch_bytes(m));
  scratch.fill(0);
  for (int run = 0; run < 2; ++run)
    cuda::pick_greedy(logits_d.data<float>(), V, m, next.data<int32_t>(), position.data<int32_t>(), history.data<int32_t>(), step.data<int32_t>(), scratch.data(), nullptr);
  EXPECT_EQ(from_device<int32_t>(next, 3), (std::vector<int32_t>{17, 4098, 0}));
  EXPECT_EQ(from_device<int32_t>(position, 3), (std::vector<int32_t>{7, 8, 9}));
  EXPECT_EQ(from_device<int32_t>(history, 6), (std::vector<int32_t>{17, 4098, 0, 17, 4098, 0}));
}

TEST_F(DecodeStep, InputsAreRoundedToInt8) {
  const int64_t m = 2, K = 1000, ld = 1024;
  const auto host = uniform(size_t(m * ld), 1, -5, 5);
  std::vector<uint16_t> x;
  for (const float v : host) x.push_back(float_to_half(v));
  for (const bool fixed : {false, true}) {
    auto x_d = on_device(x);
    const auto scale = on_device(std::vector<float>{0.03f}), zero = on_device(std::vector<float>{-7.0f});
    cuda::round_to_int8({x_d.data(), ld, 0}, {x_d.data(), ld, 0}, m, K, fixed ? scale.data<float>() : nullptr, fixed ? zero.data<float>() : nullptr, nullptr);
    const auto got = from_device<uint16_t>(x_d, x.size());
    for (int64_t t = 0; t < m; ++t) {
      float largest = 0;
      for (int64_t i = 0; i < K; ++i) largest = std::max(largest, std::abs(half_to_float(x[size_t(t * ld + i)])));
      const float s = fixed ? 0.03f : largest / 127.5f, z = fixed ? -7.0f : 0.0f;
      for (int64_t i = 0; i < K; ++i) {
        const float q = std::fmin(std::fmax(std::nearbyint(half_to_float(x[size_t(t * ld + i)]) / s + z), -128.0f), 127.0f);
        ASSERT_EQ(got[size_t(t * ld + i)], float_to_half((q - z) * s)) << fixed << " " << i;
      }
      EXPECT_EQ(got[size_t(t * ld + K)], x[size_t(t * ld + K)]);
    }
  }
}

}  // namespace
}  // namespace teeny
