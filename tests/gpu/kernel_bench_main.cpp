// Times packed products at the shapes of a 14B model: CUDA graph replay over several copies, so that nothing is in L2.
// Prints microseconds, GB/s and the fraction of the read bandwidth measured here. Needs no libtorch.
#include <cstdio>
#include <string>
#include <vector>

#include "teeny/kernels/cuda.h"
#include "teeny/kernels/packed_linear.h"
#include "teeny/kernels/stream_rate.h"

namespace {
using namespace teeny::cuda;

struct Format {
  const char* name;
  int bits, group;
  ScaleForm form;
  int zero;
};
struct Shape {
  const char* name;
  int64_t N, K;
  Store store;
};
const Format kFormats[] = {{"w4_g128", 4, 128, ScaleForm::Half, 8},   {"f16", 16, 128, ScaleForm::None, 0},     {"int8_row", 8, 128, ScaleForm::Row, 128},
                           {"q4_k", 4, 32, ScaleForm::Super6, 0},     {"q6_k", 6, 16, ScaleForm::SuperI8, 32},  {"q8_0", 8, 32, ScaleForm::Half, 128},
                           {"q5_k", 5, 32, ScaleForm::Super6, 0},     {"w4_asym", 4, 128, ScaleForm::HalfZero, 0}, {"q3_k", 3, 16, ScaleForm::SuperI8, 4},
                           {"q2_k", 2, 16, ScaleForm::SuperN4, 0}};
const Shape kShapes[] = {{"qkv", 7168, 5120, Store::Float}, {"o", 5120, 5120, Store::Residual}, {"gate_up", 27648, 5120, Store::SiluPair}, {"down", 5120, 13824, Store::Residual}};

struct Buffers {
  Buffer x, act, out, partial, row;
};

double time_us(const std::vector<PackedView>& chain, const std::vector<Store>& stores, int m, Buffers& b) {
  Stream stream;
  Graph graph;
  graph.capture(stream, [&](cudaStream_t s) {
    for (size_t i = 0; i < chain.size(); ++i) {
      const auto& l = chain[i].layout;
      packed_linear(chain[i], {{b.x.data(), 0, panel_rows(m)}, m, nullptr, stores[i], b.out.data<float>(), l.N, {b.act.data(), 0, panel_rows(m)}, b.partial.data<float>()}, s);
    }
  });
  for (int i = 0; i < 3; ++i) graph.launch(stream.get());
  double best = 1e30;
  for (int run = 0; run < 5; ++run) {
    Event begin, end;
    begin.record(stream.get());
    for (int i = 0; i < 5; ++i) graph.launch(stream.get());
    end.record(stream.get());
    end.synchronize();
    best = std::min(best, double(end.milliseconds_since(begin)) * 1000 / 5);
  }
  return best;
}
}  // namespace

int main(int argc, char** argv) try {
  const std::string only = argc > 1 ? argv[1] : "";
  const bool quick = argc > 2;
  const double rate = read_bandwidth_gb_s(size_t(2) << 30);
  std::printf("%s: read %.0f GB/s\n", device_facts(0).name.c_str(), rate);
  Buffers b;
  b.x = Buffer(size_t(384) * 14336 * 2), b.act = Buffer(size_t(384) * 14336 * 2), b.out = Buffer(size_t(256) * 152064 * 4), b.partial = Buffer(size_t(256) << 20), b.row = Buffer(1 << 20);
  b.x.fill(0x2c), b.out.fill(0), b.row.fill(0);
  for (const auto& f : kFormats) {
    if (!only.empty() && only.find(f.name) == std::string::npos) continue;
    std::vector<std::vector<Buffer>> data(std::size(kShapes));
    std::vector<PackedLayout> layouts;
    for (const auto& s : kShapes) layouts.push_back({f.bits, f.group, f.form, f.zero, s.N, s.K});
    const int layers = 6;
    for (size_t i = 0; i < layouts.size(); ++i)
      for (int c = 0; c < layers; ++c) {
        data[i].emplace_back(layouts[i].bytes());
        fill_with_random_bytes(data[i].back().data(), layouts[i].bytes() / 4 * 4, uint32_t(c));
      }
    for (const int m : quick ? std::vector<int>{1} : std::vector<int>{1, 2, 4, 8, 16, 32, 64, 128, 164}) {
      std::printf("%-9s m=%-3d", f.name, m);
      std::vector<PackedView> all;
      std::vector<Store> all_stores;
      double bytes = 0;
      for (int c = 0; c < layers; ++c)
        for (size_t i = 0; i < layouts.size(); ++i) {
          all.push_back({layouts[i], data[i][size_t(c)].data<uint8_t>(), b.row.data<float>(), 1});
          all_stores.push_back(kShapes[i].store);
          bytes += double(layouts[i].bytes());
        }
      for (size_t i = 0; i < layouts.size(); ++i) {
        std::vector<PackedView> chain;
        for (int c = 0; c < layers * 2; ++c) chain.push_back({layouts[i], data[i][size_t(c % layers)].data<uint8_t>(), b.row.data<float>(), 1});
        const double us = time_us(chain, std::vector<Store>(chain.size(), kShapes[i].store), m, b) / double(chain.size());
        std::printf("  %s %6.1f us (%.2f)", kShapes[i].name, us, double(layouts[i].bytes()) * 1e-3 / us / rate);
      }
      const double us = time_us(all, all_stores, m, b) / layers;
      std::printf("  layer %6.1f us (%.2f)\n", us, bytes / layers * 1e-3 / us / rate);
      std::fflush(stdout);
    }
  }
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
