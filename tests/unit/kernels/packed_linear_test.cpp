// Packed products on the GPU against plain sums on the CPU, over shapes that are multiples of nothing nice.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include <fmt/format.h>

#include "teeny/core/half.h"
#include "teeny/kernels/packed_linear.h"

namespace teeny {
namespace {

using cuda::PackedLayout;
using cuda::ScaleForm;

template <class T>
cuda::Buffer on_device(const std::vector<T>& host) {
  cuda::Buffer out(std::max<size_t>(host.size() * sizeof(T), 16));
  if (!host.empty()) out.upload(host.data(), host.size() * sizeof(T));
  return out;
}

// A weight made of random codes and scales, on the GPU and as numbers.
struct Sample {
  PackedLayout layout;
  std::vector<double> value, magnitude;  // (N, K); magnitude: |scale q| + |scale zero| or |min|, what rounding errors scale with
  cuda::Buffer packed, row_scale;
  float largest_scale = 0;
  cuda::PackedView view() const { return {layout, packed.data<uint8_t>(), row_scale.data<float>(), 1, cuda::large_unit(layout.bits, largest_scale)}; }
};

Sample make_sample(PackedLayout l, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto uniform = [&](double low, double high) { return low + (high - low) * double(random() >> 11) * 0x1p-53; };
  const auto half = [&](double x) { return half_to_float(float_to_half(float(x))); };
  Sample out;
  out.layout = l;
  const size_t N = size_t(l.N), K = size_t(l.K);
  out.value.resize(N * K), out.magnitude.resize(N * K);
  out.packed = cuda::Buffer(l.bytes());
  out.packed.fill(0);
  cuda::CodeSource source;
  if (l.bits == 16) {
    std::vector<uint16_t> values(N * K);
    for (size_t i = 0; i < N * K; ++i) {
      values[i] = float_to_half(float(uniform(-1, 1)));
      out.value[i] = half_to_float(values[i]), out.magnitude[i] = std::abs(out.value[i]);
    }
    const auto device = on_device(values);
    source.values = device.data();
    cuda::pack_weight(l, source, out.packed.data<uint8_t>(), 0, 1, nullptr);
    cuda::synchronize();
    return out;
  }
  std::vector<uint8_t> codes(N * K);
  for (auto& c : codes) c = uint8_t(random() & ((1u << l.bits) - 1));
  const size_t group = l.form == ScaleForm::Row ? K : l.form == ScaleForm::Super6 ? 32 : l.super() ? 16 : size_t(l.group), G = (K + group - 1) / group, B = (K + 255) / 256,
               S = l.super() ? 256 / group : 1;
  std::vector<float> scale(N * G), zero(N * G), min(N * G);
  std::vector<uint16_t> d(N * B), dmin(N * B);
  std::vector<int8_t> sc(N * B * S), mn(N * B * S);
  for (size_t i = 0; i < N * G; ++i) {
    scale[i] = l.form == ScaleForm::Row ? float(uniform(0.001, 0.1)) : half(uniform(-0.01, 0.1));
    zero[i] = l.form == ScaleForm::HalfZero ? float(random() % (1u << l.bits)) : float(l.zero);
    min[i] = l.form == ScaleForm::HalfMin ? half(uniform(-0.3, 0.3)) : 0;
  }
  if (l.super()) {
    const int low = l.form == ScaleForm::SuperI8 ? -128 : 0, high = l.form == ScaleForm::SuperI8 ? 127 : l.form == ScaleForm::Super6 ? 63 : 15;
    for (size_t i = 0; i < N * B; ++i) d[i] = float_to_half(float(uniform(-0.01, 0.01))), dmin[i] = float_to_half(float(uniform(-0.01, 0.01)));
    for (size_t i = 0; i < N * B * S; ++i) sc[i] = int8_t(low + int(random() % uint64_t(high - low + 1))), mn[i] = int8_t(random() % uint64_t(high - low + 1) & 63);
    for (size_t n = 0; n < N; ++n)
      for (size_t g = 0; g < G; ++g) {
        scale[n * G + g] = half_to_float(d[n * B + g / S]) * float(sc[n * G + g]);
        min[n * G + g] = l.form == ScaleForm::SuperI8 ? 0 : half_to_float(dmin[n * B + g / S]) * float(mn[n * G + g]);
        zero[n * G + g] = l.form == ScaleForm::SuperI8 ? float(l.zero) : 0;
      }
  } else if (l.form == ScaleForm::HalfMin) {
    for (auto& z : zero) z = 0;
  }
  if (l.form != ScaleForm::Row)
    for (const float x : scale) out.largest_scale = std::max(out.largest_scale, std::abs(x));
  for (size_t n = 0; n < N; ++n)
    for (size_t k = 0; k < K; ++k) {
      const size_t g = n * G + k / group;
      const double q = codes[n * K + k];
      out.value[n * K + k] = double(scale[g]) * (q - zero[g]) - min[g];
      out.magnitude[n * K + k] = std::abs(scale[g] * (q - zero[g])) + std::abs(min[g]);
    }
  const auto codes_d = on_device(codes);
  const auto scale_d = on_device(scale), zero_d = on_device(zero), min_d = on_device(min);
  const auto d_d = on_device(d), dmin_d = on_device(dmin);
  const auto sc_d = on_device(sc), mn_d = on_device(mn);
  source.codes = codes_d.data<uint8_t>();
  source.scale = scale_d.data<float>(), source.zero = zero_d.data<float>(), source.min = min_d.data<float>();
  source.groups = int64_t(G), source.source_group = int64_t(group);
  source.d = d_d.data<uint16_t>(), source.dmin = dmin_d.data<uint16_t>(), source.sc = sc_d.data<int8_t>(), source.mn = mn_d.data<int8_t>();
  source.source_subs = int(S);
  if (l.form == ScaleForm::Row) out.row_scale = on_device(scale);
  cuda::pack_weight(l, source, out.packed.data<uint8_t>(), 0, 1, nullptr);
  cuda::synchronize();
  return out;
}

std::vector<PackedLayout> layouts() {
  std::vector<PackedLayout> all;
  const auto add = [&](int bits, int group, ScaleForm form, int zero, int64_t N, int64_t K) { all.push_back({bits, group, form, zero, N, K}); };
  for (const int bits : {2, 3, 4, 5, 8}) {
    add(bits, 128, ScaleForm::Half, 1 << (bits - 1), 48, 1024);
    add(bits, 32, ScaleForm::Half, 1 << (bits - 1), 40, 416);
    add(bits, 64, ScaleForm::HalfZero, 0, 33, 320);
    add(bits, 128, ScaleForm::Row, 1 << (bits - 1), 129, 272);
  }
  add(4, 16, ScaleForm::HalfZero, 0, 17, 144);
  add(4, 32, ScaleForm::HalfMin, 0, 40, 416), add(5, 32, ScaleForm::HalfMin, 0, 300, 1024);
  add(4, 32, ScaleForm::Super6, 0, 48, 2560), add(5, 32, ScaleForm::Super6, 0, 40, 256);
  add(6, 16, ScaleForm::SuperI8, 32, 72, 1024), add(3, 16, ScaleForm::SuperI8, 4, 33, 768), add(8, 16, ScaleForm::SuperI8, 128, 160, 512);
  add(2, 16, ScaleForm::SuperN4, 0, 48, 1280);
  add(16, 128, ScaleForm::None, 0, 56, 1000), add(16, 128, ScaleForm::None, 0, 16, 2048);
  return all;
}

std::string name_of(const PackedLayout& l) { return fmt::format("{} bits, form {}, group {}, ({}, {})", l.bits, int(l.form), l.group, l.N, l.K); }

// Tokens as plain rows (m, K), and as the panels that products read; rows beyond m are NaN, columns beyond K are 0.
struct Inputs {
  std::vector<uint16_t> rows;
  cuda::Buffer panels;
  int panel_rows = 0;
  cuda::Activations get() const { return {panels.data(), 0, panel_rows}; }
};
Inputs make_inputs(int m, const PackedLayout& l, uint64_t seed, bool large = false) {
  std::mt19937_64 random(seed);
  Inputs out;
  out.panel_rows = large ? cuda::large_panel_rows(m) : cuda::panel_rows(m);
  out.rows.resize(size_t(m) * size_t(l.K));
  for (auto& x : out.rows) x = float_to_half(float(double(random() >> 11) * 0x1p-52 - 1));
  std::vector<uint16_t> panels(size_t(l.padded_columns()) * size_t(out.panel_rows));
  for (int64_t k = 0; k < l.padded_columns(); ++k)
    for (int n = 0; n < out.panel_rows; ++n)
      panels[size_t((k / 64 * out.panel_rows + n) * 64 + ((k / 8 ^ n) & 7) * 8 + k % 8)] = n >= m ? 0x7e00 : k < l.K ? out.rows[size_t(n) * size_t(l.K) + size_t(k)] : 0;
  out.panels = on_device(panels);
  return out;
}

class PackedLinear : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << "no GPU";
  }
};

TEST_F(PackedLinear, ProductsEqualPlainSums) {
  for (const auto& l : layouts()) {
    const Sample sample = make_sample(l, 7);
    for (const int m : {1, 3, 8, 9, 16, 17, 33, 64, 70, 200}) {
      const auto inputs = make_inputs(m, l, uint64_t(m));
      const auto& x = inputs.rows;
      const size_t ld = size_t(l.K), N = size_t(l.N), K = size_t(l.K);
      std::vector<float> bias(N), y(size_t(m) * N, 0.5f);
      for (size_t n = 0; n < N; ++n) bias[n] = float(n) * 0.01f;
      const auto bias_d = on_device(bias);
      auto y_d = on_device(y);
      cuda::Buffer partial(size_t(16) * size_t(m) * N * 4);
      for (const bool residual : {false, true}) {
        y_d.upload(y.data(), y.size() * 4);
        cuda::LinearCall call{inputs.get(), m, bias_d.data<float>(), residual ? cuda::Store::Residual : cuda::Store::Float, y_d.data<float>(), l.N, {}, partial.data<float>()};
        cuda::packed_linear(sample.view(), call, nullptr);
        std::vector<float> got(y.size());
        y_d.download(got.data(), got.size() * 4);
        double worst = 0;
        for (int t = 0; t < m; ++t)
          for (size_t n = 0; n < N; ++n) {
            double sum = bias[n] + (residual ? 0.5 : 0), magnitude = std::abs(sum);
            for (size_t k = 0; k < K; ++k) {
              const double input = half_to_float(x[size_t(t) * ld + k]);
              sum += sample.value[n * K + k] * input;
              magnitude += sample.magnitude[n * K + k] * std::abs(input);
            }
            const double error = std::abs(double(got[size_t(t) * N + n]) - sum) / magnitude;
            worst = std::isnan(error) ? 1e9 : std::max(worst, error);
          }
        // Up to 8 tokens (16 where blocks form clusters) weights are exact; beyond, scales and weights are rounded to f16 (11 bits) once each.
        EXPECT_LT(worst, m <= (cuda::norms_between(cuda::kMiddleTokens) ? cuda::kMiddleTokens : cuda::kFewTokens) || l.bits == 16 ? 2e-6 : 5e-4) << name_of(l) << ", " << m << " tokens, residual " << residual;
      }
    }
  }
}

// Sum and magnitude of one output.
std::pair<double, double> plain_sum(const Sample& sample, const Inputs& inputs, size_t token, size_t row, double start) {
  const size_t K = size_t(sample.layout.K);
  double sum = start, magnitude = std::abs(start);
  for (size_t k = 0; k < K; ++k) {
    const double input = half_to_float(inputs.rows[token * K + k]);
    sum += sample.value[row * K + k] * input;
    magnitude += sample.magnitude[row * K + k] * std::abs(input);
  }
  return {sum, magnitude};
}

TEST_F(PackedLinear, LargeProductsEqualPlainSums) {
  auto all = layouts();
  all.push_back({4, 128, ScaleForm::Half, 8, 4300, 256});  // more tiles than clusters
  all.push_back({4, 32, ScaleForm::Super6, 0, 4300, 512});
  all.push_back({4, 128, ScaleForm::HalfZero, 0, 520, 1152});
  int ran = 0;
  for (const auto& l : all) {
    if (!cuda::multiplies_large(l)) continue;
    ++ran;
    const Sample sample = make_sample(l, 7);
    const size_t N = size_t(l.N);
    std::vector<float> bias(N);
    for (size_t n = 0; n < N; ++n) bias[n] = float(n) * 0.01f;
    const auto bias_d = on_device(bias);
    for (const int m : {1, 130, 500, 700}) {
      const auto inputs = make_inputs(m, l, uint64_t(m), true);
      for (const auto store : {cuda::Store::Float, cuda::Store::Residual, cuda::Store::Half}) {
        std::vector<float> y(size_t(m) * N, 0.5f);
        auto y_d = on_device(y);
        cuda::Buffer halves(y.size() * 2);
        cuda::packed_linear_large(sample.view(), {inputs.get(), m, bias_d.data<float>(), store, y_d.data<float>(), l.N, {halves.data(), l.N, 0}, nullptr}, nullptr);
        y_d.download(y.data(), y.size() * 4);
        if (store == cuda::Store::Half) {
          std::vector<uint16_t> got(y.size());
          halves.download(got.data(), got.size() * 2);
          for (size_t i = 0; i < y.size(); ++i) y[i] = half_to_float(got[i]);
        }
        double worst = 0;
        for (size_t t = 0; t < size_t(m); t += t % 3 == 0 && N * size_t(l.K) > 500000 ? 41 : 1)
          for (size_t n = 0; n < N; ++n) {
            const auto [sum, magnitude] = plain_sum(sample, inputs, t, n, bias[n] + (store == cuda::Store::Residual ? 0.5 : 0));
            const double error = std::abs(double(y[t * N + n]) - sum) / magnitude;
            worst = std::isnan(error) ? 1e9 : std::max(worst, error);
          }
        const bool exact = l.form == ScaleForm::Row || (l.group == 128 && (l.form == ScaleForm::Half || l.form == ScaleForm::HalfZero));
        EXPECT_LT(worst, exact && store != cuda::Store::Half ? 2e-6 : 5e-4) << name_of(l) << ", " << m << " tokens, store " << int(store);
      }
    }
  }
  if (ran == 0) GTEST_SKIP() << "no kernel of large products here";
}

TEST_F(PackedLinear, DecodedRowsAreTheValues) {
  for (const auto& l : layouts()) {
    const Sample sample = make_sample(l, 9);
    const size_t N = size_t(l.N), K = size_t(l.K);
    cuda::Buffer out(N * K * 2);
    out.fill(0xff);
    cuda::unpack_weight(sample.view(), 0, l.N, 0, 1, out.data(), l.K, nullptr);
    std::vector<uint16_t> got(N * K);
    out.download(got.data(), got.size() * 2);
    double worst = 0;
    for (size_t i = 0; i < N * K; ++i) {
      const double error = std::abs(double(half_to_float(got[i])) - sample.value[i]) / (sample.magnitude[i] + 1e-3);
      worst = std::isnan(error) ? 1e9 : std::max(worst, error);
    }
    EXPECT_LT(worst, 0x1p-10) << name_of(l);
  }
}

TEST_F(PackedLinear, GateAndUpBecomeOneActivation) {
  PackedLayout half_layout{4, 128, ScaleForm::Half, 8, 80, 640};
  std::mt19937_64 random(3);
  const size_t N = 80, K = 640, G = 5;
  PackedLayout both = half_layout;
  both.N = 160;
  cuda::Buffer packed(both.bytes());
  packed.fill(0);
  std::vector<std::vector<double>> values(2, std::vector<double>(N * K));
  for (int which = 0; which < 2; ++which) {
    std::vector<uint8_t> codes(N * K);
    std::vector<float> scale(N * G);
    for (auto& c : codes) c = uint8_t(random() & 15);
    for (auto& s : scale) s = half_to_float(float_to_half(0.001f + float(random() % 100) * 1e-4f));
    for (size_t i = 0; i < N * K; ++i) values[size_t(which)][i] = double(scale[i / K * G + i % K / 128]) * (double(codes[i]) - 8);
    const auto codes_d = on_device(codes);
    const auto scale_d = on_device(scale);
    cuda::CodeSource source;
    source.codes = codes_d.data<uint8_t>(), source.scale = scale_d.data<float>(), source.groups = int64_t(G), source.source_group = 128;
    cuda::pack_weight(half_layout, source, packed.data<uint8_t>(), which, 2, nullptr);
    cuda::synchronize();
  }
  for (const auto& [m, large] : {std::pair{1, false}, {12, false}, {40, false}, {64, false}, {130, false}, {200, false}, {3, true}, {130, true}, {300, true}}) {
    if (large && !cuda::multiplies_large(both)) continue;
    const auto inputs = make_inputs(m, half_layout, 5, large);
    const int rows = inputs.panel_rows;
    cuda::Buffer out(cuda::Activations::panel_bytes(128, rows)), partial(size_t(16) * size_t(m) * 160 * 4);
    const cuda::LinearCall call{inputs.get(), m, nullptr, cuda::Store::SiluPair, nullptr, 0, {out.data(), 0, rows}, large ? nullptr : partial.data<float>()};
    const cuda::PackedView view{both, packed.data<uint8_t>(), nullptr, 1};
    if (large) cuda::packed_linear_large(view, call, nullptr);
    else cuda::packed_linear(view, call, nullptr);
    std::vector<uint16_t> got(out.bytes() / 2);
    out.download(got.data(), got.size() * 2);
    for (int t = 0; t < m; ++t)
      for (size_t n = 0; n < N; ++n) {
        double gate = 0, up = 0;
        for (size_t k = 0; k < K; ++k) {
          const double input = half_to_float(inputs.rows[size_t(t) * K + k]);
          gate += values[0][n * K + k] * input, up += values[1][n * K + k] * input;
        }
        const double expected = gate / (1 + std::exp(-gate)) * up;
        const size_t at = (n / 64 * size_t(rows) + size_t(t)) * 64 + ((n / 8 ^ size_t(t)) & 7) * 8 + n % 8;
        ASSERT_NEAR(half_to_float(got[at]), expected, 4e-3 * std::abs(expected) + 1e-3) << m << " " << t << " " << n;
      }
  }
}

TEST_F(PackedLinear, ANormBetweenTwoProductsIsTheNorm) {
  constexpr float eps = 1e-5f;
  for (const auto& [first, second] : {std::pair{PackedLayout{4, 32, ScaleForm::Half, 8, 400, 416}, PackedLayout{4, 16, ScaleForm::Half, 8, 72, 400}},
                                      {PackedLayout{4, 32, ScaleForm::Super6, 0, 512, 2560}, PackedLayout{6, 16, ScaleForm::SuperI8, 32, 72, 512}},
                                      {PackedLayout{16, 128, ScaleForm::None, 0, 400, 200}, PackedLayout{16, 128, ScaleForm::None, 0, 72, 400}}}) {
    const size_t H = size_t(first.N);
    const Sample one = make_sample(first, 21), two = make_sample(second, 22);
    std::vector<float> gain(H);
    for (size_t i = 0; i < H; ++i) gain[i] = 0.5f + float(i % 7) * 0.25f;
    const auto gain_d = on_device(gain);
    for (const int m : {1, 9, 16, 17, 40, 70, 200}) {
      if (!cuda::norms_between(m)) continue;
      const size_t tokens = size_t(m), pieces = size_t(cuda::square_pieces(first.N)), columns = m == 1 ? 16 : 128;
      const auto inputs = make_inputs(m, first, 23);
      std::vector<float> h(tokens * H), squares(tokens * pieces);
      for (size_t i = 0; i < h.size(); ++i) h[i] = 30 * std::sin(float(i));
      for (size_t t = 0; t < tokens; ++t)  // (the norm before knew nothing of h)
        for (size_t i = 0; i < (H + columns - 1) / columns; ++i) squares[t * pieces + i] = float(1 + (i + t) % 5);
      auto h_d = on_device(h), squares_d = on_device(squares), squares_out = on_device(std::vector<float>(squares.size())), divisor = on_device(std::vector<float>(tokens));
      auto panels = on_device(std::vector<uint16_t>(size_t(second.padded_columns() * cuda::panel_rows(m))));
      const cuda::Activations x{panels.data(), 0, cuda::panel_rows(m)};
      cuda::LinearCall call{inputs.get(), m, nullptr, cuda::Store::Residual, h_d.data<float>(), first.N, {}, nullptr};
      call.norm = {squares_d.data<float>(), divisor.data<float>(), eps, gain_d.data<float>(), x, squares_out.data<float>()};
      cuda::packed_linear(one.view(), call, nullptr);
      cuda::Buffer y(tokens * 72 * 4);
      cuda::LinearCall next{x, m, nullptr, cuda::Store::Float, y.data<float>(), 72, {}, nullptr};
      next.norm = {squares_out.data<float>(), divisor.data<float>(), eps, nullptr, {}, nullptr};
      cuda::packed_linear(two.view(), next, nullptr);
      std::vector<float> got(tokens * 72), h_after(h.size()), divided(tokens);
      divisor.download(divided.data(), divided.size() * 4), y.download(got.data(), got.size() * 4), h_d.download(h_after.data(), h_after.size() * 4);
      for (size_t t = 0; t < tokens; ++t) {
        double mean_before = 0, mean = 0;
        for (size_t i = 0; i < pieces; ++i) mean_before += squares[t * pieces + i] / double(H);
        EXPECT_NEAR(divided[t] / (64 * std::sqrt(mean_before + eps)), 1, 1e-5) << m;
        for (size_t i = 0; i < H; ++i) {
          const auto [sum, magnitude] = plain_sum(one, inputs, t, i, h[t * H + i]);
          EXPECT_NEAR(h_after[t * H + i], sum, m <= cuda::kMiddleTokens || first.bits == 16 ? 1e-3 : 5e-4 * magnitude) << name_of(first) << ", " << m;
          mean += sum * sum / double(H);
        }
        for (size_t n = 0; n < 72; ++n) {
          double sum = 0, magnitude = 0;
          for (size_t i = 0; i < H; ++i) {
            const double input = h_after[t * H + i] / std::sqrt(mean + eps) * gain[i];
            sum += two.value[n * H + i] * input, magnitude += std::abs(two.magnitude[n * H + i] * input);
          }
          EXPECT_NEAR(got[t * 72 + n], sum, 5e-4 * magnitude) << name_of(second) << ", " << m;
        }
      }
    }
  }
}

TEST_F(PackedLinear, TheSameCallGivesTheSameBits) {
  const PackedLayout l{4, 128, ScaleForm::Half, 8, 512, 4096};
  const Sample sample = make_sample(l, 1);
  for (const int m : {1, 16, 64}) {
    const auto inputs = make_inputs(m, l, 2);
    std::vector<std::vector<float>> runs;
    for (int run = 0; run < 3; ++run) {
      cuda::Buffer y(size_t(m) * 512 * 4), partial(size_t(16) * size_t(m) * 512 * 4);
      cuda::packed_linear(sample.view(), {inputs.get(), m, nullptr, cuda::Store::Float, y.data<float>(), 512, {}, partial.data<float>()}, nullptr);
      runs.emplace_back(size_t(m) * 512);
      y.download(runs.back().data(), runs.back().size() * 4);
    }
    EXPECT_EQ(runs[0], runs[1]);
    EXPECT_EQ(runs[0], runs[2]);
  }
}

}  // namespace
}  // namespace teeny
