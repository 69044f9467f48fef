// The whole path of quantize and convert on the shipped model.
#include "teeny/pipeline/pipeline.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "schema.h"
#include "teeny/core/error.h"
#include "teeny/encodings/encoding.h"
#include "teeny/family/stored.h"
#include "teeny/family/tokenizer_source.h"
#include "teeny/model/loader.h"
#include "teeny/tensor/metrics.h"

namespace teeny {
namespace {
namespace fs = std::filesystem;

const std::string kModel = TEENY_TEST_SOURCE_DIR "/configs/models/teeny-demo-7m";

class PipelineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / fmt::format("teeny-pipeline-{}-{}", ::getpid(), ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::string path(const std::string& name) const { return (directory_ / name).string(); }

  Json quantize(const std::string& method, int bits, const std::string& out, const std::function<void(QuantizeOptions&)>& change = {}) {
    QuantizeOptions options;
    options.args = {"quantize"};
    options.model = kModel;
    options.method = method, options.bits = bits, options.out = path(out);
    options.samples = 6, options.seq_len = 128;
    if (change) change(options);
    Context context;
    return run_quantize(options, context);
  }

  // What the record says of every tensor must be true of the file, read back: the codes in it are the ones that were chosen.
  static void expect_file_matches(const Json& record, const std::string& file, bool folded) {
    const auto source = open_source(file), original = open_source(kModel);
    const ModelSpec spec = read_spec(*source), original_spec = read_spec(*original);
    const WeightLoader loader(*source, spec), first(*original, original_spec);
    ASSERT_GT(record["quantize"]["tensors"].size(), 50u);
    for (const auto& row : record["quantize"]["tensors"]) {
      const std::string module = row["name"];
      const int64_t N = row["shape"][0], K = row["shape"][1];
      const Weight weight = loader.linear(module, N, K);
      if (const auto* packed = std::get_if<QuantTensor>(&weight)) {
        EXPECT_EQ(packed->spec.name(), row["encoding"].get<std::string>()) << module;
      }
      if (folded) continue;  // AWQ's weights carry scales: compared to what was folded, which is not in any file
      ErrorSum error;
      error.add(decode(first.linear(module, N, K)), decode(weight));
      EXPECT_NEAR(error.relative(), row["relative_error"].get<double>(), 1e-9) << module;
    }
  }

  fs::path directory_;
};

TEST_F(PipelineTest, EveryMethodWritesWhatItsRecordSays) {
  struct Case {
    const char* method;
    int bits;
    const char* out;
    const char* format = "";
    bool asym = false;
    int act_bits = 16;
  };
  for (const Case& c : {Case{"rtn", 4, "rtn4"}, {"rtn", 3, "rtn3"}, {"gptq", 4, "gptq4"}, {"gptq", 2, "gptq2"}, {"awq", 4, "awq4"}, {"int8", 8, "int8"},
                        {"gguf", 4, "q4.gguf"}, {"gguf", 8, "q8.gguf"}, {"fp16", 16, "fp16"}, {"bf16", 16, "bf16"}, {"awq", 8, "awq8"},
                        {"gptq", 4, "ct4", "compressed-tensors"}, {"rtn", 4, "ct4a", "compressed-tensors", true}, {"rtn", 8, "ct8", "compressed-tensors"},
                        {"int8", 8, "w8a8", "", false, 8}, {"gptq", 8, "w8a8-gptq", "", false, 8}}) {
    const Json record = quantize(c.method, c.bits, c.out, [&](QuantizeOptions& o) {
      o.format = c.format, o.act_bits = c.act_bits;
      if (c.asym) o.symmetric = false;
    });
    EXPECT_EQ(record["model"]["act_bits"], c.act_bits == 8 ? Json(8) : Json()) << c.out;
    EXPECT_EQ(testing::Schema::results().explain(record), "") << c.out;
    EXPECT_EQ(record["model"]["method"], c.method);
    expect_file_matches(record, path(c.out), std::string(c.method) == "awq");
    CommonOptions inspect;
    inspect.args = {"inspect"};
    inspect.model = path(c.out);
    Context context;
    const Json verified = run_verify(inspect, context);
    EXPECT_EQ(verified["status"], "ok") << c.out << verified.dump();
    EXPECT_FALSE(fs::exists(path(std::string(c.out) + ".part")));
  }
}

TEST_F(PipelineTest, TheSameBytesForAnyThreadCount) {
  std::string first;
  for (const int threads : {1, 2, 3})
    for (const char* method : {"gptq", "awq"}) {
      QuantizeOptions options;
      options.args = {"quantize"};
      options.model = kModel, options.method = method, options.bits = 4, options.out = path(fmt::format("{}-{}", method, threads));
      options.samples = 5, options.seq_len = 96;
      Context context;
      context.threads = threads;
      run_quantize(options, context);
    }
  for (const char* method : {"gptq", "awq"}) {
    const auto one = sha256_file(path(fmt::format("{}-1/model.safetensors", method)));
    EXPECT_EQ(one, sha256_file(path(fmt::format("{}-2/model.safetensors", method)))) << method;
    EXPECT_EQ(one, sha256_file(path(fmt::format("{}-3/model.safetensors", method)))) << method;
  }
}

TEST_F(PipelineTest, ConvertsThereAndBack) {
  const auto convert = [&](const std::string& from, const std::string& format, const std::string& dtype, const std::string& out) {
    ConvertOptions options;
    options.args = {"convert"};
    options.model = from, options.format = format, options.dtype = dtype, options.out = path(out);
    Context context;
    return run_convert(options, context);
  };
  const Json record = convert(kModel, "gguf", "bf16", "a.gguf");
  EXPECT_EQ(testing::Schema::results().explain(record), "");
  convert(path("a.gguf"), "safetensors", "bf16", "b");
  const auto a = open_source(kModel), b = open_source(path("b"));
  for (const auto& tensor : a->tensors()) EXPECT_EQ(a->read(tensor), b->read(b->at(tensor.name))) << tensor.name;
  const std::string text = "def f(x):\n    return x + 1<|im_end|>\n";
  EXPECT_EQ(load_tokenizer(*a)->encode(text), load_tokenizer(*b)->encode(text));
  EXPECT_EQ(read_spec(*a).eos, read_spec(*b).eos);
}

// Codes, scales and order of columns go from format to format and come back as the same bytes.
TEST_F(PipelineTest, CodesAreKeptThroughOtherFormats) {
  const auto convert = [&](const std::string& from, const std::string& format, const std::string& out) {
    ConvertOptions options;
    options.args = {"convert"};
    options.model = path(from), options.format = format, options.out = path(out);
    Context context;
    const Json record = run_convert(options, context);
    EXPECT_EQ(testing::Schema::results().explain(record), "");
    EXPECT_TRUE(record["warnings"].empty()) << record["warnings"].dump();
    for (const auto& row : record["convert"]["tensors"]) EXPECT_EQ(row["relative_error"], 0) << row.dump();
  };
  const auto expect_equal = [&](const std::string& first, const std::string& second) {
    const auto a = open_source(path(first)), b = open_source(path(second));
    ASSERT_EQ(a->tensors().size(), b->tensors().size()) << second;
    for (const auto& tensor : a->tensors()) EXPECT_EQ(a->read(tensor), b->read(b->at(tensor.name))) << second << " " << tensor.name;
    EXPECT_EQ(a->config()["quantization_config"]["bits"], b->config()["quantization_config"]["bits"]);
  };
  const auto expect_same_values = [&](const std::string& first, const std::string& second) {
    const auto a = open_source(path(first)), b = open_source(path(second));
    const ModelSpec spec = read_spec(*a);
    const WeightLoader one(*a, spec), two(*b, spec);
    for (const auto& slot : kLinears) {
      const auto [N, K] = linear_shape(spec, slot.module);
      EXPECT_TRUE(decode(one.linear(layer_prefix(1) + slot.module, N, K)).view(at::kInt).equal(decode(two.linear(layer_prefix(1) + slot.module, N, K)).view(at::kInt))) << second << slot.module;
    }
  };
  struct Chain {
    const char* name;
    std::function<void(QuantizeOptions&)> change;
    int bits;
    std::vector<std::string> formats;  // the last is the first again
  };
  for (const Chain& chain : {Chain{"sym", [](auto&) {}, 4, {"compressed-tensors", "gptq-v2", "awq", "gptq"}}, {"sym8", [](auto& o) { o.granularity = "channel"; }, 8, {"compressed-tensors", "gptq"}},
                             {"asym", [](auto& o) { o.symmetric = false; }, 4, {"awq", "compressed-tensors", "gptq"}}, {"two", [](auto& o) { o.symmetric = false, o.group = 32; }, 2, {"gptq-v2", "gptq"}},
                             {"ordered", [](auto& o) { o.method = "gptq", o.desc_act = true; }, 4, {"compressed-tensors", "gptq"}},
                             {"awq", [](auto& o) { o.method = "awq", o.format = "awq"; }, 4, {"compressed-tensors", "gptq-v2", "awq"}}}) {
    const std::string first = std::string(chain.name) + "-0";
    quantize("rtn", chain.bits, first, chain.change);
    std::string before = first;
    for (size_t i = 0; i < chain.formats.size(); ++i) {
      const std::string now = fmt::format("{}-{}", chain.name, i + 1);
      SCOPED_TRACE(now);
      convert(before, chain.formats[i], now);
      expect_same_values(first, now);
      before = now;
    }
    expect_equal(first, before);
  }
}

TEST_F(PipelineTest, ConversionsThatCannotBeExactAreRefused) {
  const auto refused = [&](const std::string& from, const std::string& format, const char* part) {
    ConvertOptions options;
    options.args = {"convert"};
    options.model = from.front() == '/' ? from : path(from), options.format = format, options.out = path("refused");
    Context context;
    try {
      run_convert(options, context);
      ADD_FAILURE() << from << " to " << format;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Input) << error.what();
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
    EXPECT_FALSE(fs::exists(path("refused")));
  };
  quantize("rtn", 8, "sym8");
  refused("sym8", "awq", "AWQ checkpoints hold 4 bits");
  refused("sym8", "bitsandbytes", "LLM.int8 holds whole rows");
  quantize("rtn", 3, "three");
  refused("three", "compressed-tensors", "4 and 8 bits only");
  quantize("gptq", 4, "ordered", [](auto& o) { o.desc_act = true; });
  refused("ordered", "awq", "another order");
  quantize("int8", 8, "bnb");
  refused("bnb", "compressed-tensors", "LLM.int8 multiplies");
  refused(kModel, "gptq", "quantize --format gptq");
  quantize("rtn", 4, "v2", [](auto& o) { o.symmetric = false, o.group = 32, o.format = "gptq-v2"; });
  const auto source = open_source(path("v2"));
  const ModelSpec spec = read_spec(*source);
  const QuantConfig quant = read_quant_config(*source);
  bool zero = false;  // of 32 weights in a group, some group has none below 0
  for (int64_t layer = 0; layer < spec.layers && !zero; ++layer)
    for (const auto& slot : kLinears) {
      const auto [N, K] = linear_shape(spec, slot.module);
      const std::string module = layer_prefix(layer) + slot.module;
      zero = zero || has_zero_point_0(*source, stored_weight(*source, quant, module, N, K), module);
    }
  if (zero) refused("v2", "gptq", "zero points 0");
  // Lossy ways say what they lose.
  ConvertOptions options;
  options.args = {"convert"};
  options.model = path("three"), options.format = "gguf", options.type = "Q4_K_M", options.out = path("refit.gguf");
  Context context;
  const Json record = run_convert(options, context);
  ASSERT_EQ(record["warnings"].size(), 1u) << record["warnings"].dump();
  EXPECT_EQ(record["warnings"][0]["code"], "convert-lossy");
}

TEST_F(PipelineTest, RefusalsLeaveNothingBehind) {
  const auto kind_of = [&](const std::function<void()>& run) {
    try {
      run();
    } catch (const Error& e) {
      return std::make_pair(e.kind(), std::string(e.what()));
    }
    return std::make_pair(ErrorKind::Bug, std::string("no error"));
  };
  EXPECT_EQ(kind_of([&] { quantize("gptq", 5, "x"); }).first, ErrorKind::Input);
  EXPECT_EQ(kind_of([&] { quantize("gptq", 4, "x", [](auto& o) { o.group = 96; }); }).first, ErrorKind::Input);
  EXPECT_EQ(kind_of([&] { quantize("magic", 4, "x"); }).first, ErrorKind::Usage);
  EXPECT_EQ(kind_of([&] { quantize("rtn", 4, "x", [](auto& o) { o.out = kModel; o.force = true; }); }).first, ErrorKind::Usage);
  fs::create_directories(path("old"));
  write_file(path("old/keep.txt"), "old");
  EXPECT_EQ(kind_of([&] { quantize("rtn", 4, "old"); }).first, ErrorKind::Usage);
  EXPECT_EQ(read_file(path("old/keep.txt")), "old");
  EXPECT_EQ(kind_of([&] { quantize("rtn", 4, "missing/parent/x"); }).first, ErrorKind::Device);
  for (const auto& entry : fs::directory_iterator(directory_)) EXPECT_EQ(entry.path().filename(), "old");
  EXPECT_EQ(quantize("rtn", 4, "old", [](auto& o) { o.force = true; })["status"], "ok");
  EXPECT_FALSE(fs::exists(path("old/keep.txt")));
}

}  // namespace
}  // namespace teeny
