// Targets: what is chosen, within which bytes, and what is refused. Losses here are made up: 4^-bits, scaled by layer.
#include "teeny/plan/mix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "plan/picks.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny {
namespace {

const std::string kModel = TEENY_TEST_SOURCE_DIR "/configs/models/teeny-demo-7m";

class Mix : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(recipe_); }

  QuantizeOptions options(const std::string& method, const std::string& format = "") {
    QuantizeOptions o;
    o.model = kModel, o.method = method, o.format = format;
    return o;
  }
  // Layers nearer to the output are less sensitive.
  Sensitivity made_up(const QuantizeOptions& o) {
    QuantizeOptions plain = o;
    plain.target_bpw = plain.max_ppl_increase = -1, plain.target_bytes = 0;
    plain.candidates.clear();
    Sensitivity s;
    s.fingerprint = weights_fingerprint(*source_), s.parameters = spec_.parameters(), s.format = o.format, s.method = o.method;
    for (const auto& group : mix_groups(plan_with(*source_, spec_, plain, {}), {})) {
      const auto at = group.name.find("layers.");
      const double weight = at == std::string::npos ? 10 : 1.0 / (1 + std::atoi(group.name.c_str() + at + 7));
      SensitivityGroup g{group.name, group.modules, {}};
      for (size_t c = 0; c < group.candidates.size(); ++c) {
        const double bits = group.bits_per_weight(c);
        if (!group.candidates[c].plain) g.candidates.push_back({group.candidates[c].label, bits, weight * std::pow(4, -bits), 0, true, c % 2 == 0});
      }
      s.groups.push_back(std::move(g));
    }
    return s;
  }
  Plan solve(const QuantizeOptions& o) {
    check_mix(o, resolve(o));
    return make_mixed_plan(*source_, spec_, o, made_up(o));
  }
  void expect_refused(ErrorKind kind, const std::string& expected, const QuantizeOptions& o) {
    try {
      check_mix(o, resolve(o));
      o.sensitivity.empty() ? plan_unmeasured(*source_, spec_, o) : make_mixed_plan(*source_, spec_, o, made_up(o));
      ADD_FAILURE() << "accepted; expected: " << expected;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_NE(std::string(error.what()).find(expected), std::string::npos) << error.what() << "\nexpected: " << expected;
    }
  }
  static double bits_of(const Plan& plan, const std::string& module) {
    for (const auto& t : plan.tensors)
      if (t.module == module) return 8.0 * double(t.bytes) / double(t.N * t.K);
    return 0;
  }

  std::unique_ptr<TensorSource> source_ = open_source(kModel);
  ModelSpec spec_ = read_spec(*source_);
  std::string recipe_ = (std::filesystem::temp_directory_path() / fmt::format("teeny-mix-{}.json", ::getpid())).string();
};

TEST_F(Mix, TheTargetIsNeverExceededAndNearlyReached) {
  struct Case {
    const char *method, *format;
    double bpw;
  };
  for (const Case& c : {Case{"gguf", "", 3}, {"gguf", "", 4.4}, {"gguf", "", 6}, {"gptq", "gguf", 5}, {"gptq", "", 6}, {"gptq", "", 7.5}, {"gptq-v2", "gptq-v2", 6}, {"rtn", "compressed-tensors", 8}, {"awq", "compressed-tensors", 7}}) {
    auto o = options(c.method == std::string("gptq-v2") ? "gptq" : c.method, c.format);
    o.target_bpw = c.bpw;
    const Plan plan = solve(o);
    EXPECT_LE(plan.bits_per_weight, c.bpw) << c.method << " " << c.format;
    EXPECT_GE(plan.bits_per_weight, c.bpw - 0.05) << c.method << " " << c.format;
    ASSERT_TRUE(plan.mix && plan.mix->solved);
    uint64_t bytes = 0;
    for (const auto& t : plan.tensors) bytes += t.bytes;
    EXPECT_EQ(bytes, plan.bytes);
    // Earlier layers were made more sensitive: they have at least the bits of later ones, in the mean.
    double first = 0, last = 0;
    for (const char* module : {"mlp.up_proj", "mlp.down_proj", "self_attn.o_proj"})
      first += bits_of(plan, layer_prefix(0) + module), last += bits_of(plan, layer_prefix(spec_.layers - 1) + module);
    EXPECT_GE(first, last) << c.method << " " << c.format;
  }
}

TEST_F(Mix, MoreBitsNeverLoseMore) {
  double before = INFINITY;
  for (double bpw = 2.7; bpw < 16; bpw += bpw < 6 ? 0.2 : 1) {
    auto o = options("gguf");
    o.target_bpw = bpw;
    const double kld = solve(o).mix->kld;
    EXPECT_LE(kld, before + 1e-12) << bpw;
    before = kld;
  }
}

TEST_F(Mix, TheSizeCountsHeadersAndPadding) {
  for (const auto& [method, bytes] : {std::pair{"gguf", 4'300'000ull}, {"gptq", 5'400'000ull}}) {
    auto o = options(method);
    o.target_bytes = bytes;
    const Plan plan = solve(o);
    EXPECT_LE(file_bytes(plan, *source_, o), bytes);
    EXPECT_GE(file_bytes(plan, *source_, o), bytes - bytes / 100);
    EXPECT_LT(plan.bytes, bytes);
  }
}

TEST_F(Mix, ALossIsReachedWithFewBytes) {
  auto o = options("gguf");
  o.max_ppl_increase = 1;
  const Plan plan = solve(o);
  EXPECT_LE(plan.mix->ppl_increase, 0.01);
  EXPECT_GE(plan.mix->ppl_increase, 0.009);
  o.max_ppl_increase = 2;
  EXPECT_LT(solve(o).bytes, plan.bytes);
  o.max_ppl_increase = 0;  // nothing may be lost: nothing is quantized
  EXPECT_EQ(solve(o).mix->kld, 0);
}

TEST_F(Mix, FusedWeightsStayAlike) {
  auto o = options("gptq");
  o.target_bpw = 6.2;
  const Plan plan = solve(o);
  std::set<std::string> used;
  for (int64_t layer = 0; layer < spec_.layers; ++layer) {
    const auto name = [&](const char* module) {
      for (const auto& t : plan.tensors)
        if (t.module == layer_prefix(layer) + module) return t.encoding.name();
      return std::string();
    };
    EXPECT_EQ(name("self_attn.q_proj"), name("self_attn.k_proj"));
    EXPECT_EQ(name("self_attn.q_proj"), name("self_attn.v_proj"));
    EXPECT_EQ(name("mlp.gate_proj"), name("mlp.up_proj"));
    used.insert(name("mlp.up_proj"));
  }
  EXPECT_GE(used.size(), 2u);
}

TEST_F(Mix, CandidatesCanBeNamed) {
  auto o = options("gptq");
  o.target_bpw = 8, o.candidates = {"4", "8"};
  for (const auto& t : solve(o).tensors)
    if (t.weight && t.module.starts_with("model.layers.")) {
      EXPECT_TRUE(t.encoding.bits == 4 || t.encoding.bits == 8) << t.encoding.name();
    }
  auto g = options("gguf");
  g.target_bpw = 5, g.candidates = {"Q4_K", "Q6_K"};
  for (const auto& t : solve(g).tensors)
    if (t.weight) {
      EXPECT_TRUE(t.encoding.dtype == DType::Q4_K || t.encoding.dtype == DType::Q6_K) << t.encoding.name();
    }
  g.candidates = {"Q9_K"};
  expect_refused(ErrorKind::Usage, "choose among", g);
}

TEST_F(Mix, ARecipeKeepsItsWeights) {
  write_file(recipe_, R"({"rules": [{"match": "*.0.mlp.down_proj", "type": "Q8_0"}, {"match": "*.1.*", "skip": true}]})");
  auto o = options("gguf");
  o.target_bpw = 5.5, o.recipe = recipe_;
  const Plan plan = solve(o);
  EXPECT_LE(plan.bits_per_weight, 5.5);
  EXPECT_EQ(bits_of(plan, "model.layers.0.mlp.down_proj"), 8.5);
  EXPECT_EQ(bits_of(plan, "model.layers.1.mlp.up_proj"), 16);
}

TEST_F(Mix, WhetherImportanceServesIsKeptByTensor) {
  auto o = options("gguf");
  o.target_bpw = 4.5;
  const Plan plan = solve(o);
  const Sensitivity s = made_up(o);
  for (const auto& group : s.groups)
    for (const auto& c : group.candidates)
      for (const auto& t : plan.tensors)
        if (t.module == group.modules[0] && candidate_label(t.encoding) == c.label) {
          EXPECT_EQ(t.importance, c.importance) << t.module;
        }
}

TEST_F(Mix, OutOfReachIsRefusedWithTheRange) {
  auto o = options("gguf");
  o.target_bpw = 1.5;
  expect_refused(ErrorKind::Input, "2.659 to 16.018 bits per weight", o);
  o.sensitivity = "given";
  expect_refused(ErrorKind::Input, "2.659 to 16.018 bits per weight", o);
  o.target_bpw = 17;
  expect_refused(ErrorKind::Input, "above", o);
  o.target_bpw = -1, o.target_bytes = 1000;
  expect_refused(ErrorKind::Input, "below", o);
  o.target_bytes = 1ull << 40;
  expect_refused(ErrorKind::Input, "above", o);
  auto loss = options("gguf");
  loss.sensitivity = "given", loss.max_ppl_increase = 1e-6, loss.candidates = {"Q4_K"};
  expect_refused(ErrorKind::Input, "out of reach", loss);
}

TEST_F(Mix, ContradictionsAreRefused) {
  const auto with = [&](const std::string& method, const std::function<void(QuantizeOptions&)>& change) {
    auto o = options(method);
    o.target_bpw = 5;
    change(o);
    return o;
  };
  expect_refused(ErrorKind::Usage, "leave --bits out", with("gguf", [](auto& o) { o.bits = 4; }));
  expect_refused(ErrorKind::Usage, "leave --type out", with("gguf", [](auto& o) { o.type = "Q4_K_M"; }));
  expect_refused(ErrorKind::Usage, "give one of them", with("gguf", [](auto& o) { o.target_bytes = 4'000'000; }));
  expect_refused(ErrorKind::Usage, "either they are read or measured", with("gguf", [](auto& o) { o.sensitivity = "a", o.save_sensitivity = "b"; }));
  expect_refused(ErrorKind::Usage, "solved over", with("gguf", [](auto& o) { o.target_bpw = -1, o.sensitivity = "a"; }));
  expect_refused(ErrorKind::Usage, "a target chooses from", with("gguf", [](auto& o) { o.target_bpw = -1, o.candidates = {"Q4_K"}; }));
  for (const char* method : {"int8", "fp16", "bf16"}) expect_refused(ErrorKind::Input, "the same bits there", with(method, [](auto&) {}));
  expect_refused(ErrorKind::Input, "the same bits there", with("awq", [](auto&) {}));
  expect_refused(ErrorKind::Input, "--act-bits 8", with("gptq", [](auto& o) { o.act_bits = 8, o.bits = 8; o.target_bpw = -1, o.save_sensitivity = "b"; }));
  expect_refused(ErrorKind::Input, "--sparsity", with("gptq", [](auto& o) { o.sparsity = "0.5"; }));
}

TEST_F(Mix, AFileOfAnotherModelOrFormatIsRefused) {
  auto o = options("gguf");
  o.target_bpw = 5;
  Sensitivity s = made_up(o);
  const auto expect = [&](const std::string& text, const QuantizeOptions& options, const Sensitivity& sensitivity) {
    try {
      make_mixed_plan(*source_, spec_, options, sensitivity);
      ADD_FAILURE() << "accepted; expected: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Input);
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  };
  Sensitivity other = s;
  other.fingerprint = "0";
  expect("another one", o, other);
  other = s, other.parameters += 1;
  expect("another one", o, other);
  auto g = options("gptq");
  g.target_bpw = 6;
  expect("was not measured", g, s);
  g.group = 32, g.symmetric = true;
  expect("has none of the encodings", g, [&] { auto wide = options("gptq"); wide.symmetric = false; return made_up(wide); }());
}

// The same file serves every format with the same encodings.
TEST_F(Mix, GptqLossesServeCompressedTensors) {
  auto o = options("gptq");
  o.target_bpw = 8;
  const Sensitivity s = made_up(o);
  o.format = "compressed-tensors";
  EXPECT_LE(make_mixed_plan(*source_, spec_, o, s).bits_per_weight, 8);
}

TEST_F(Mix, MeasuringFollowsItsCost) {
  auto o = options("gguf");
  const auto groups = mix_groups(plan_with(*source_, spec_, o, {}), {});
  const auto small = plan_measurement(spec_, groups);
  EXPECT_GE(small.candidates.size(), 3u);
  EXPECT_EQ(small.tokens, 4096);
  ModelSpec large = spec_;  // Qwen2.5-14B's shapes
  large.hidden = 5120, large.layers = 48, large.heads = 40, large.kv_heads = 8, large.head_dim = 128, large.intermediate = 13824, large.vocab = 152064, large.tied = false;
  std::vector<MixGroup> many;
  for (int64_t layer = 0; layer < large.layers; ++layer)
    for (const auto& slot : kLinears) {
      auto group = groups[1];
      group.name = layer_prefix(layer) + slot.module;
      many.push_back(group);
    }
  const auto probe = plan_measurement(large, many);
  EXPECT_EQ(probe.candidates.size(), 1u);
  EXPECT_LE(probe.bytes, 8ull << 30);
  EXPECT_GE(probe.tokens, 512);
  ModelSpec tiny = spec_;
  tiny.hidden = 64, tiny.layers = 2, tiny.heads = 2, tiny.kv_heads = 1, tiny.head_dim = 32, tiny.intermediate = 192, tiny.vocab = 512;
  EXPECT_EQ(plan_measurement(tiny, {many.begin(), many.begin() + 14}).candidates.size(), groups[0].candidates.size() - 1);  // all but "plain"
}

}  // namespace
}  // namespace teeny
