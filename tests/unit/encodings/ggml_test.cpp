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
  int compared = 0, equal = 0;
  for (const auto& [ftype, variants] : expected["types"].items())
    for (const auto& [name, entry] : variants[GetParam()].items()) {
      const auto dtype = dtype_from_name(entry["type"].get<std::string>());
      ASSERT_TRUE(dtype) << entry["type"];
      if (traits(*dtype).scalar()) continue;
      FitOptions options;
      if (std::string(GetParam()) == "imatrix") options.importance = imatrix.importance(name);
      const auto encoding = make_encoding(ggml_spec(*dtype));
      const auto [levels, grid] = encoding->quantize(matrices.at(name), options);
      const bool same = hash_of(encoding->pack(levels, grid)) == entry["sha256"].get<std::string>();
      EXPECT_TRUE(same) << ftype << " " << name << " " << entry["type"];
      ++compared, equal += same;
    }
  EXPECT_EQ(equal, compared);
  EXPECT_GT(compared, 800);
}
INSTANTIATE_TEST_SUITE_P(Ggml, LlamaQuantize, ::testing::Values("plain", "imatrix"), [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace teeny
