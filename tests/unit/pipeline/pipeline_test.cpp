// The whole path of quantize and convert on the shipped model.
#include "teeny/pipeline/pipeline.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
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
                        {"int8", 8, "w8a8", "", false, 8}, {"gptq", 8, "w8a8-gptq", "", false, 8}, {"gptq", 4, "gptq-q4.gguf", "gguf"},
                        {"gptq", 2, "gptq-q2.gguf", "gguf"}, {"awq", 3, "awq-q3.gguf", "gguf"}}) {
    const Json record = quantize(c.method, c.bits, c.out, [&](QuantizeOptions& o) {
      o.format = c.format, o.act_bits = c.act_bits;
      if (c.asym) o.symmetric = false;
    });
    EXPECT_EQ(record["model"]["act_bits"], c.act_bits == 8 ? Json(8) : Json()) << c.out;
    EXPECT_EQ(testing::Schema::results().explain(record), "") << c.out;
    EXPECT_EQ(record["model"]["method"], c.method);
    expect_file_matches(record, path(c.out), std::string(c.method) == "awq" || c.act_bits == 8);
    CommonOptions inspect;
    inspect.args = {"inspect"};
    inspect.model = path(c.out);
    Context context;
    const Json verified = run_verify(inspect, context);
    EXPECT_EQ(verified["status"], "ok") << c.out << verified.dump();
    EXPECT_FALSE(fs::exists(path(std::string(c.out) + ".part")));
  }
}

// Asks to stop when so many blocks are done.
class StopAfter : public Progress {
 public:
  StopAfter(std::atomic<int>& flag, int blocks) : flag_(flag), left_(blocks) {}
  void start(std::string_view what, uint64_t) override { counting_ = what == "quantize"; }
  void advance(uint64_t, std::string_view) override {
    if (counting_ && --left_ == 0) flag_ = 2;
  }

 private:
  std::atomic<int>& flag_;
  int left_;
  bool counting_ = false;
};

TEST_F(PipelineTest, AResumedRunWritesTheSameBytes) {
  for (const char* method : {"gptq", "awq"}) {
    QuantizeOptions options;
    options.args = {"quantize"};
    options.model = kModel, options.method = method, options.bits = 4;
    options.samples = 4, options.seq_len = 64;
    options.out = path(std::string(method) + "-whole");
    Context whole;
    const Json uninterrupted = run_quantize(options, whole);
    options.out = path(std::string(method) + "-parts");
    for (const int blocks : {1, 4}) {
      std::atomic<int> flag{0};
      StopAfter stop(flag, blocks);
      Context context;
      context.progress = &stop, context.interrupted = &flag;
      options.resume = blocks > 1;
      EXPECT_THROW(run_quantize(options, context), Error);
      EXPECT_FALSE(fs::exists(options.out));
      EXPECT_TRUE(fs::exists(options.out + ".resume/journal.json"));
    }
    options.resume = true, options.damp = 0.02, options.grid = 7;
    Context other;
    EXPECT_THROW(run_quantize(options, other), Error);  // other options: other bytes
    options.damp = 0.01, options.grid = 20;
    Context rest;
    const Json resumed = run_quantize(options, rest);
    EXPECT_EQ(sha256_file(path(std::string(method) + "-whole/model.safetensors")), sha256_file(options.out + "/model.safetensors"));
    const auto without_times = [](Json rows) {
      for (auto& row : rows) row.erase("seconds");
      return rows;
    };
    EXPECT_EQ(without_times(resumed["quantize"]["tensors"]), without_times(uninterrupted["quantize"]["tensors"]));
    EXPECT_FALSE(fs::exists(options.out + ".resume"));
  }
}

TEST_F(PipelineTest, SavedImportanceGivesTheSameFileAsItsCalibration) {
  const auto with_text = [&](QuantizeOptions& o) { o.calibration = kModel + "/calibration.txt", o.type = "Q3_K_M"; };
  quantize("gptq", 4, "gptq", [&](QuantizeOptions& o) { o.save_importance = path("i.gguf"); });
  quantize("gguf", 3, "calibrated.gguf", with_text);
  quantize("gguf", 3, "reused.gguf", [&](QuantizeOptions& o) { o.importance = path("i.gguf"), o.type = "Q3_K_M"; });
  quantize("gguf", 3, "plain.gguf", [&](QuantizeOptions& o) { o.type = "Q3_K_M"; });
  const auto down = [&](const std::string& file) {
    const auto source = open_source(path(file));
    return source->read(source->at("blk.3.ffn_down.weight"));
  };
  // Sums in the file are means times tokens: rounding may move a weight here and there, not more.
  const auto a = down("calibrated.gguf"), b = down("reused.gguf"), c = down("plain.gguf");
  ASSERT_EQ(a.size(), b.size());
  size_t differ = 0, from_plain = 0;
  for (size_t i = 0; i < a.size(); ++i) differ += a[i] != b[i], from_plain += a[i] != c[i];
  EXPECT_LT(differ, a.size() / 1000);
  EXPECT_GT(from_plain, a.size() / 10);
}

TEST_F(PipelineTest, TheSameBytesForAnyThreadCount) {
  struct Case {
    const char* name;
    std::function<void(QuantizeOptions&)> set;
  };
  const std::vector<Case> cases = {{"gptq", [](auto&) {}},
                                   {"awq", [](auto& o) { o.method = "awq"; }},
                                   {"w8a8", [](auto& o) { o.method = "int8", o.bits = 8, o.act_bits = 8, o.act = "static"; }},
                                   {"pruned", [](auto& o) { o.sparsity = "2:4"; }},
                                   {"self", [](auto& o) { o.calibration = "self", o.seq_len = 48; }},
                                   {"compensated.gguf", [](auto& o) { o.format = "gguf", o.type = "Q3_K_M"; }},
                                   {"importance.gguf", [](auto& o) { o.method = "gguf", o.type = "Q3_K_M", o.calibration = kModel + "/calibration.txt"; }}};
  const auto sha = [&](const Case& c, int run, int threads) {
    QuantizeOptions options;
    options.args = {"quantize"};
    options.model = kModel, options.method = "gptq", options.bits = 4, options.samples = 5, options.seq_len = 96;
    c.set(options);
    if (options.type == "Q3_K_M") options.bits = 3;
    options.out = path(fmt::format("{}-{}", run, c.name));
    Context context;
    context.threads = threads;
    run_quantize(options, context);
    return sha256_file(std::string(c.name).ends_with(".gguf") ? options.out : options.out + "/model.safetensors");
  };
  for (const auto& c : cases) {
    const auto one = sha(c, 0, 1);
    EXPECT_EQ(one, sha(c, 1, 1)) << c.name << ", the same arguments again";
    EXPECT_EQ(one, sha(c, 2, 2)) << c.name << ", 2 threads";
    EXPECT_EQ(one, sha(c, 3, 3)) << c.name << ", 3 threads";
  }
}

TEST_F(PipelineTest, TextOfItsOwnIsConversationsAndPlainText) {
  const Json record = quantize("gptq", 4, "self", [](auto& o) { o.calibration = "self", o.samples = 4, o.seq_len = 64; });
  const Json& text = record["quantize"]["calibration"];
  EXPECT_EQ(text["source"], "self");
  EXPECT_EQ(text["template"], "chatml");
  EXPECT_EQ(text["samples"], 4);
  EXPECT_EQ(text["tokens"], 4 * 64);
  EXPECT_GE(text["documents"].get<int>(), 2);
  EXPECT_EQ(text["sha256"].get<std::string>().size(), 64u);
  const Json other = quantize("gptq", 4, "self2", [](auto& o) { o.calibration = "self", o.samples = 4, o.seq_len = 64; });
  EXPECT_EQ(other["quantize"]["calibration"]["sha256"], text["sha256"]);
}

TEST_F(PipelineTest, UnusableStatisticsNameTheirLayer) {
  // An input that is all zero: the norm before it is.
  fs::copy(kModel, path("zero"), fs::copy_options::recursive);
  const auto source = open_source(kModel);
  const auto& norm = source->at("model.layers.2.post_attention_layernorm.weight");
  std::string bytes = read_file(path("zero/model.safetensors"));
  const auto values = source->read(norm);
  const auto at = bytes.find(std::string_view(reinterpret_cast<const char*>(values.data()), values.size()));
  ASSERT_NE(at, std::string::npos);
  std::fill_n(bytes.begin() + long(at), values.size(), '\0');
  write_file(path("zero/model.safetensors"), bytes);
  for (const char* method : {"gptq", "awq"}) {
    try {
      quantize(method, 4, "out", [&](auto& o) { o.model = path("zero"), o.calibration = kModel + "/calibration.txt"; });
      ADD_FAILURE() << "no error";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::Input);
      EXPECT_NE(std::string(e.what()).find("model.layers.2.mlp.gate_proj"), std::string::npos) << e.what();
    }
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
