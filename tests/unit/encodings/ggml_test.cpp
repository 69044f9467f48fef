// GGML blocks: known bytes by hand, the bytes of llama-quantize for the shipped model, and degenerate input.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>

#include "encodings/ggml/isa.h"
#include "teeny/core/file.h"
#include "teeny/core/json.h"
#include "teeny/encodings/encoding.h"

namespace teeny {
namespace {

namespace fs = std::filesystem;
const fs::path kRoot = TEENY_TEST_SOURCE_DIR;
const fs::path kData = kRoot / "../shared/data";

EncodingSpec ggml_spec(DType dtype) {
  EncodingSpec spec;
  spec.kind = EncodingKind::Ggml, spec.dtype = dtype;
  return spec;
}

std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Every bf16 matrix of the shipped model as f32, by its GGUF name.
std::map<std::string, Tensor> shipped_matrices() {
  const std::string file = slurp(kRoot / "configs/models/teeny-demo-7m/model.safetensors");
  uint64_t header = 0;
  std::memcpy(&header, file.data(), 8);
  const std::pair<const char*, const char*> modules[] = {{"self_attn.q_proj", "attn_q"}, {"self_attn.k_proj", "attn_k"}, {"self_attn.v_proj", "attn_v"},
      {"self_attn.o_proj", "attn_output"}, {"mlp.gate_proj", "ffn_gate"}, {"mlp.up_proj", "ffn_up"}, {"mlp.down_proj", "ffn_down"}};
  std::map<std::string, Tensor> out;
  const Json parsed = parse_json(std::string_view(file).substr(8, header), "test", "model.safetensors");
  for (const auto& [name, entry] : parsed.items()) {
    if (!entry.contains("shape") || entry["shape"].size() != 2) continue;
    std::string gguf = name == "model.embed_tokens.weight" ? "token_embd.weight" : std::regex_replace(name, std::regex("model\\.layers\\."), "blk.");
    for (const auto& [hf, ours] : modules)
      if (const auto at = gguf.find(hf); at != std::string::npos) gguf.replace(at, std::strlen(hf), ours);
    const char* data = file.data() + 8 + header + entry["data_offsets"][0].get<int64_t>();
    out[gguf] = at::from_blob(const_cast<char*>(data), {entry["shape"][0].get<int64_t>(), entry["shape"][1].get<int64_t>()}, at::kBFloat16).to(at::kFloat);
  }
  return out;
}

// A minimal reader of the imatrix file: its tensors are f32, "<name>.in_sum2" and "<name>.counts".
class ImatrixFile {
 public:
  explicit ImatrixFile(const fs::path& path) : file_(slurp(path)) {
    at_ = 8;
    const auto tensors = number<uint64_t>(), keys = number<uint64_t>();
    for (uint64_t i = 0; i < keys; ++i) text(), skip(number<uint32_t>());
    std::vector<std::tuple<std::string, uint64_t, uint64_t>> infos;
    for (uint64_t i = 0; i < tensors; ++i) {
      const std::string name = text();
      uint64_t count = 1;
      for (auto dims = number<uint32_t>(); dims > 0; --dims) count *= number<uint64_t>();
      number<uint32_t>();
      infos.emplace_back(name, count, number<uint64_t>());
    }
    const size_t base = (at_ + 31) / 32 * 32;
    for (const auto& [name, count, offset] : infos) {
      auto& values = values_[name];
      values.resize(count);
      std::memcpy(values.data(), file_.data() + base + offset, count * 4);
    }
  }
  // Mean square of each column's input; undefined when the file has none.
  Tensor importance(const std::string& tensor) const {
    const auto sums = values_.find(tensor + ".in_sum2");
    if (sums == values_.end()) return {};
    std::vector<float> mean = sums->second;
    for (auto& v : mean) v /= values_.at(tensor + ".counts")[0];
    return at::tensor(mean);
  }

 private:
  template <class T>
  T number() {
    T v;
    std::memcpy(&v, file_.data() + at_, sizeof v);
    at_ += sizeof v;
    return v;
  }
  std::string text() {
    const auto n = number<uint64_t>();
    at_ += n;
    return file_.substr(at_ - n, n);
  }
  void skip(uint32_t type) {  // the file's types: u32, string, array of strings
    if (type == 4) number<uint32_t>();
    else if (type == 8) text();
    else if (type == 9) {
      const auto element = number<uint32_t>();
      for (auto n = number<uint64_t>(); n > 0; --n) skip(element);
    } else {
      throw std::runtime_error("unexpected key type");
    }
  }
  std::string file_;
  size_t at_ = 0;
  std::map<std::string, std::vector<float>> values_;
};

std::string hash_of(const QuantTensor& packed) {
  const Tensor& bytes = packed.part("weight");
  return sha256_hex({static_cast<const char*>(bytes.const_data_ptr()), size_t(bytes.nbytes())});
}

class LlamaQuantize : public ::testing::TestWithParam<const char*> {};

TEST_P(LlamaQuantize, BytesAreEqual) {
  if (!fs::exists(kData / "llama-quantize.json")) GTEST_SKIP() << "the bytes of llama-quantize are not here";
  static const auto matrices = shipped_matrices();
  static const ImatrixFile imatrix(kData / "teeny-demo-7m.imatrix.gguf");
  static const Json expected = parse_json(slurp(kData / "llama-quantize.json"), "test", "llama-quantize.json");
  std::map<std::pair<std::string, DType>, std::string> hashes;  // most mixes share most tensors
  int compared = 0, equal = 0;
  for (const auto& [ftype, variants] : expected["types"].items())
    for (const auto& [name, entry] : variants[GetParam()].items()) {
      const auto dtype = dtype_from_name(entry["type"].get<std::string>());
      ASSERT_TRUE(dtype) << entry["type"];
      if (traits(*dtype).scalar()) continue;
      std::string& hash = hashes[{name, *dtype}];
      if (hash.empty()) {
        FitOptions options;
        if (std::string(GetParam()) == "imatrix") options.importance = imatrix.importance(name);
        const auto encoding = make_encoding(ggml_spec(*dtype));
        const auto [levels, grid] = encoding->quantize(matrices.at(name), options);
        hash = hash_of(encoding->pack(levels, grid));
      }
      const bool same = hash == entry["sha256"].get<std::string>();
      EXPECT_TRUE(same) << ftype << " " << name << " " << entry["type"];
      ++compared, equal += same;
    }
  EXPECT_EQ(equal, compared);
  EXPECT_GT(compared, 800);
}
INSTANTIATE_TEST_SUITE_P(Ggml, LlamaQuantize, ::testing::Values("plain", "imatrix"), [](const auto& info) { return std::string(info.param); });

// Decodes one block given as its bytes.
Tensor decode_block(DType dtype, const std::vector<std::pair<int, int>>& bytes) {
  const Tensor block = at::zeros({1, traits(dtype).bytes}, at::kByte);
  for (const auto& [at, value] : bytes) block[0][at] = value;
  return make_encoding(ggml_spec(dtype))->decode({ggml_spec(dtype), 1, traits(dtype).block, {{"weight", block}}})[0];
}
float at_index(const Tensor& t, int64_t i) { return t[i].item<float>(); }

// fp16: 0x3c00 is 1, 0x3800 is 0.5, 0x4000 is 2, 0x3400 is 0.25, 0xbc00 is -1.
TEST(GgmlBlocks, LegacyByHand) {
  const Tensor q5_0 = decode_block(DType::Q5_0, {{1, 0x3c}, {2, 1}, {4, 1}, {6, 0x21}});
  EXPECT_EQ(at_index(q5_0, 0), 1);
  EXPECT_EQ(at_index(q5_0, 16), 2);
  EXPECT_EQ(at_index(q5_0, 1), -16);
  const Tensor q5_1 = decode_block(DType::Q5_1, {{1, 0x38}, {3, 0xbc}, {4, 2}, {9, 0x03}});
  EXPECT_EQ(at_index(q5_1, 1), 8.5f);
  EXPECT_EQ(at_index(q5_1, 17), -1);
  const Tensor q8_0 = decode_block(DType::Q8_0, {{1, 0x38}, {2, 0xff}, {33, 0x7f}});
  EXPECT_EQ(at_index(q8_0, 0), -0.5f);
  EXPECT_EQ(at_index(q8_0, 31), 63.5f);
  EXPECT_EQ(at_index(q8_0, 1), 0);
  const Tensor iq4 = decode_block(DType::IQ4_NL, {{1, 0x38}, {2, 0xf0}, {3, 0x80}});
  EXPECT_EQ(at_index(iq4, 0), -63.5f);
  EXPECT_EQ(at_index(iq4, 16), 56.5f);
  EXPECT_EQ(at_index(iq4, 17), 0.5f);
}

TEST(GgmlBlocks, SuperBlocksByHand) {
  const Tensor q2 = decode_block(DType::Q2_K, {{0, 0x31}, {16, 0x03}, {81, 0x3c}, {83, 0x34}});
  EXPECT_EQ(at_index(q2, 0), 2.25f);
  EXPECT_EQ(at_index(q2, 1), -0.75f);
  EXPECT_EQ(at_index(q2, 32), 0);
  const Tensor q3 = decode_block(DType::Q3_K, {{0, 0x01}, {32, 0x02}, {96, 0x01}, {104, 0x02}, {109, 0x40}});
  EXPECT_EQ(at_index(q3, 0), 4);
  EXPECT_EQ(at_index(q3, 32), 256);
  // Sub-block 0: scale 5, minimum 3; sub-block 4: scale 43, minimum 28, whose high pairs lie above those of 0.
  const std::vector<std::pair<int, int>> scales{{1, 0x3c}, {3, 0x38}, {4, 0x85}, {8, 0x43}, {12, 0xcb}};
  auto q4_bytes = scales, q5_bytes = scales;
  q4_bytes.insert(q4_bytes.end(), {{16, 0x72}, {80, 0x0f}});
  const Tensor q4 = decode_block(DType::Q4_K, q4_bytes);
  EXPECT_EQ(at_index(q4, 0), 8.5f);
  EXPECT_EQ(at_index(q4, 32), 0);
  EXPECT_EQ(at_index(q4, 128), 631);
  q5_bytes.insert(q5_bytes.end(), {{16, 0x11}, {48, 0x72}, {112, 0x0f}});
  const Tensor q5 = decode_block(DType::Q5_K, q5_bytes);
  EXPECT_EQ(at_index(q5, 0), 88.5f);
  EXPECT_EQ(at_index(q5, 128), 43 * 31 - 14);
  const Tensor q6 = decode_block(DType::Q6_K, {{0, 0x21}, {32, 0x05}, {128, 0xe4}, {192, 2}, {194, 0xff}, {196, 3}, {198, 1}, {209, 0x38}});
  EXPECT_EQ(at_index(q6, 0), -31);
  EXPECT_EQ(at_index(q6, 32), 5.5f);
  EXPECT_EQ(at_index(q6, 64), 3);
  EXPECT_EQ(at_index(q6, 96), 8);
  const Tensor iq4 = decode_block(DType::IQ4_XS, {{1, 0x3c}, {2, 0x01}, {4, 0x01}, {8, 0xf0}});
  EXPECT_EQ(at_index(iq4, 0), 1905);
  EXPECT_EQ(at_index(iq4, 16), -1695);
}

TEST(GgmlBlocks, RoundingByHand) {
  const Tensor ramp = at::arange(32, at::kFloat).remainder(16).sub(8).unsqueeze(0);  // the scale takes the sign of -8: d = 1
  const auto q4 = make_encoding(ggml_spec(DType::Q4_0));
  const auto [levels, grid] = q4->quantize(ramp, {});
  const Tensor bytes = q4->pack(levels, grid).part("weight")[0];
  EXPECT_EQ(bytes[1].item<int>(), 0x3c);
  for (int j = 0; j < 16; ++j) EXPECT_EQ(bytes[2 + j].item<int>(), j * 0x11);
  const Tensor halves = at::tensor({127.f, 0.5f, -0.5f, 1.5f, 2.5f, 0.49999997f}).resize_({1, 32});  // away from zero at halves
  halves.slice(1, 6, 32).zero_();
  const auto q8 = make_encoding(ggml_spec(DType::Q8_0));
  const Tensor codes = q8->quantize(halves, {}).levels.q[0];
  const int expected[] = {127, 1, -1, 2, 3, 0, 0};
  for (int i = 0; i < 7; ++i) EXPECT_EQ(codes[i].item<int>() - 128, expected[i]) << i;
}

TEST(GgmlBlocks, TablesAgree) {
  for (const auto& kernels : ggml::available_kernels()) ASSERT_EQ(kernels.size(), ggml::all_types().size());
  for (size_t i = 0; i < ggml::all_types().size(); ++i) {
    const auto& type = ggml::all_types()[i];
    EXPECT_EQ(type.block, traits(type.dtype).block);
    EXPECT_EQ(type.bytes, traits(type.dtype).bytes);
    for (const auto& kernels : ggml::available_kernels()) EXPECT_EQ(kernels[i].dtype, type.dtype);
  }
}

class GgmlTypes : public ::testing::TestWithParam<DType> {
 protected:
  std::shared_ptr<const Encoding> encoding_ = make_encoding(ggml_spec(GetParam()));
  static Tensor importance(int64_t K) { return at::rand({K}) + 0.01; }
};

TEST_P(GgmlTypes, EveryInstructionSetGivesTheSameBytes) {
  const auto& type = ggml::type_of(GetParam());
  const int64_t N = 7, K = 768, B = K / type.block, S = type.subs();  // 21 blocks of 256: no multiple of any lane count
  at::manual_seed(11);
  const Tensor qw = importance(K), x = at::randn({N, K}) * at::randn({N, K}).exp();
  const auto run = [&](const ggml::TypeKernels& kernels, bool weighted) {
    const Tensor codes = at::empty({N, K}, at::kByte), d = at::zeros({N, B}, at::kShort), m = at::zeros({N, B}, at::kShort);
    const Tensor sc = at::zeros({N, B * S}, at::kChar), mn = at::zeros({N, B * S}, at::kChar), bytes = at::zeros({N, B * type.bytes}, at::kByte);
    const ggml::Blocks blocks{N, K, codes.mutable_data_ptr<uint8_t>(), reinterpret_cast<uint16_t*>(d.mutable_data_ptr<int16_t>()),
                              reinterpret_cast<uint16_t*>(m.mutable_data_ptr<int16_t>()), sc.mutable_data_ptr<int8_t>(), mn.mutable_data_ptr<int8_t>()};
    kernels.quantize(x.const_data_ptr<float>(), weighted ? qw.const_data_ptr<float>() : nullptr, blocks);
    kernels.pack(blocks, bytes.mutable_data_ptr<uint8_t>());
    const Tensor values = at::empty({N, K});
    kernels.decode(bytes.const_data_ptr<uint8_t>(), N * B, values.mutable_data_ptr<float>());
    return std::pair{bytes, values};
  };
  const auto all = ggml::available_kernels();
  for (const bool weighted : {false, true}) {
    const auto [bytes, values] = run(all[0][size_t(&type - ggml::all_types().data())], weighted);
    for (size_t i = 1; i < all.size(); ++i) {
      const auto& kernels = all[i][size_t(&type - ggml::all_types().data())];
      ASSERT_EQ(kernels.dtype, GetParam());
      const auto [other_bytes, other_values] = run(kernels, weighted);
      EXPECT_TRUE(other_bytes.equal(bytes)) << "instruction set " << i << " weighted " << weighted;
      EXPECT_TRUE(other_values.equal(values));
    }
  }
}

TEST_P(GgmlTypes, DegenerateInputIsSafe) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const int64_t K = 512;
  at::manual_seed(5);
  const std::vector<Tensor> rows{at::zeros({K}), at::full({K}, -0.f), at::full({K}, 0.7f), at::full({K}, -0.7f), at::randn({K}) * 1e-40, at::randn({K}) * 1e-30,
                                 at::randn({K}) * 1e30, at::full({K}, 3e38f), at::randn({K}).masked_fill(at::rand({K}) < 0.95, 0)};
  const Tensor w = at::stack(rows);
  for (const Tensor& weights : {Tensor(), importance(K), at::zeros({K}), at::full({K}, nan), at::full({K}, inf)}) {
    FitOptions options;
    options.importance = weights;
    const auto [levels, grid] = encoding_->quantize(w, options);
    const auto packed = encoding_->pack(levels, grid);
    const Tensor decoded = encoding_->decode(packed);
    EXPECT_TRUE(decoded.isfinite().all().item<bool>());
    EXPECT_EQ(decoded.slice(0, 0, 2).abs().max().item<float>(), 0);
    EXPECT_TRUE(levels.q.le(grid.hi).all().item<bool>());
    EXPECT_TRUE(encoding_->unpack(packed).levels.q.equal(levels.q));
  }
  encoding_->quantize(at::full({2, K}, nan), {});
  encoding_->quantize(at::full({2, K}, inf), {});
}

TEST_P(GgmlTypes, EqualWeightsAreKept) {
  const Tensor w = at::full({1, 512}, -0.75f);
  const auto [levels, grid] = encoding_->quantize(w, {});
  EXPECT_LT((decode(levels, grid) - w).abs().max().item<float>(), 0.75f * 0.04f);
}

TEST_P(GgmlTypes, NearestOnTheGridIsNoWorse) {
  at::manual_seed(2);
  const Tensor w = at::randn({16, 512});
  const auto [levels, grid] = encoding_->quantize(w, {});
  const double own = (decode(levels, grid) - w).pow(2).sum().item<double>();
  const double nearest_error = (decode(nearest(w, grid), grid) - w).pow(2).sum().item<double>();
  EXPECT_LE(nearest_error, own * (1 + 1e-6));
}

TEST_P(GgmlTypes, GridsOfColumnBlocksJoin) {
  at::manual_seed(4);
  const Tensor w = at::randn({8, 768});
  const auto whole = encoding_->quantize(w, {});
  std::vector<Grid> grids;
  std::vector<Tensor> codes;
  const int64_t step = encoding_->block_cols(768);
  for (int64_t k = 0; k < 768; k += step) {
    auto piece = encoding_->quantize(w.slice(1, k, k + step), {});
    grids.push_back(std::move(piece.grid));
    codes.push_back(piece.levels.q);
  }
  const auto joined = encoding_->pack({at::cat(codes, 1)}, concat_columns(grids));
  EXPECT_TRUE(joined.part("weight").equal(encoding_->pack(whole.levels, whole.grid).part("weight")));
}

TEST_P(GgmlTypes, ImportanceLowersTheWeightedError) {
  at::manual_seed(6);
  const int64_t K = 768;
  const Tensor w = at::randn({32, K}), weights = at::randn({K}).mul(1.5).exp();
  FitOptions options;
  options.importance = weights;
  const auto error = [&](const Quantized& q) { return ((decode(q.levels, q.grid) - w).pow(2) * weights).sum().item<double>(); };
  const double plain = error(encoding_->quantize(w, {})), weighted = error(encoding_->quantize(w, options));
  if (GetParam() == DType::Q8_0) {
    EXPECT_EQ(weighted, plain);
  } else {
    EXPECT_LT(weighted, plain);
  }
}

INSTANTIATE_TEST_SUITE_P(All, GgmlTypes,
                         ::testing::Values(DType::Q8_0, DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1, DType::Q2_K, DType::Q3_K, DType::Q4_K, DType::Q5_K,
                                           DType::Q6_K, DType::IQ4_NL, DType::IQ4_XS),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace teeny
