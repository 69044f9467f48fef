// Every method x bits x granularity x symmetry x format either works, and stores what its words say, or is refused by name.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "plan/choice.h"
#include "teeny/core/error.h"
#include "teeny/encodings/encoding.h"

namespace teeny {
namespace {

struct Words {
  std::string method, format, granularity;
  int bits = 4;
  bool symmetric = true;
  std::string text() const { return fmt::format("--method {} --bits {} --granularity {} --{} --format {}", method, bits, granularity, symmetric ? "sym" : "asym", format); }
};

bool any_of(const std::string& word, std::initializer_list<const char*> words) { return std::find(words.begin(), words.end(), word) != words.end(); }
bool any_of(int word, std::initializer_list<int> words) { return std::find(words.begin(), words.end(), word) != words.end(); }

// interface.md's table, as a predicate.
bool exists(const Words& w) {
  const bool plain = any_of(w.method, {"fp16", "bf16"});
  if (w.format == "gguf") return w.granularity == "group" && w.method != "int8" && (plain ? w.bits == 16 : any_of(w.bits, {2, 3, 4, 5, 6, 8, 16}));  // sym and asym are the types' (tested below)
  if (w.format == "safetensors") return plain && w.bits == 16 && w.granularity == "group";
  if (plain || w.method == "gguf") return false;
  if (w.format == "bitsandbytes") return w.method == "int8" && w.bits == 8 && w.symmetric && w.granularity != "group";
  const bool bits_of_method = w.method == "int8" ? w.bits == 8 : w.method == "awq" ? any_of(w.bits, {3, 4, 8}) : any_of(w.bits, {2, 3, 4, 8});
  const bool bits_of_format = w.format == "awq" ? w.bits == 4 : w.format == "compressed-tensors" ? any_of(w.bits, {4, 8}) : true;
  if (w.format == "awq") return any_of(w.method, {"awq", "rtn"}) && bits_of_method && bits_of_format;
  return bits_of_method && bits_of_format;
}

QuantizeOptions options_of(const Words& w) {
  QuantizeOptions o;
  o.method = w.method, o.format = w.format, o.granularity = w.granularity, o.bits = w.bits;
  o.granularity_typed = true;
  if (w.format != "gguf" && w.format != "safetensors") o.symmetric = w.symmetric;
  return o;
}

// What is stored has the scales, zero points and codes that the words promise, and comes back from the file's form as it was.
void expect_stored(const Words& words, const Choice& choice) {
  const EncodingSpec spec = linear_encoding(choice);
  const auto encoding = make_encoding(spec);
  at::manual_seed(1);
  const Tensor w = at::randn({64, 256}) * at::linspace(0.5, 2, 64).unsqueeze(1) + 0.3;
  const auto [levels, grid] = encoding->quantize(w, {});
  const QuantTensor packed = encoding->pack(levels, grid);
  const Tensor value = encoding->decode(packed);
  const int64_t groups = words.granularity == "group" ? 2 : 1;
  const Quantized back = encoding->unpack(packed);
  EXPECT_EQ(back.grid.scale.size(1), groups) << words.text();
  EXPECT_EQ(back.grid.scale.eq(back.grid.scale[0][0]).all().item<bool>(), words.granularity == "tensor") << words.text();
  EXPECT_LT(levels.q.max().item<int>(), 1 << words.bits) << words.text();
  if (words.bits < 8) {
    EXPECT_GT(levels.q.max().item<int>(), (1 << words.bits) - 3) << words.text();  // the range is used
  }
  if (back.grid.zero.defined()) {
    const Tensor middle = back.grid.zero == double(1 << (words.bits - 1));
    EXPECT_EQ(middle.all().item<bool>(), words.symmetric) << words.text();  // the weights here are off centre
  }
  const double relative = ((value - w).norm() / w.norm()).item<double>(), step = std::pow(2.0, -words.bits);
  EXPECT_LT(relative, words.granularity == "tensor" ? 4 * step : 2.5 * step) << words.text();
  EXPECT_GT(relative, 0.1 * step) << words.text();
}

TEST(Combinations, EachWorksOrIsRefusedByName) {
  int worked = 0, refused = 0;
  for (const char* method : {"gptq", "awq", "rtn", "int8", "gguf", "fp16", "bf16"})
    for (const char* format : {"gptq", "gptq-v2", "awq", "compressed-tensors", "bitsandbytes", "gguf", "safetensors"})
      for (const int bits : {2, 3, 4, 5, 6, 7, 8, 16})
        for (const char* granularity : {"tensor", "channel", "group"})
          for (const bool symmetric : {true, false}) {
            const Words words{method, format, granularity, bits, symmetric};
            try {
              const Choice choice = resolve(options_of(words));
              EXPECT_TRUE(exists(words)) << "accepted: " << words.text();
              ++worked;
              if (choice.format != "gguf" && choice.format != "safetensors") expect_stored(words, choice);
            } catch (const Error& error) {
              EXPECT_FALSE(exists(words)) << "refused: " << words.text() << ": " << error.what();
              EXPECT_TRUE(error.kind() == ErrorKind::Input || error.kind() == ErrorKind::Usage) << error.what();
              EXPECT_TRUE(std::string(error.what()).find("--") != std::string::npos) << error.what();                               // by name
              const std::string what = error.what();
              EXPECT_TRUE(what.find("nearest") != std::string::npos || what.find("pass --") != std::string::npos || what.find("written as") != std::string::npos ||
                          what.find("leave --") != std::string::npos || what.find("use --") != std::string::npos) << what;             // with what exists
              ++refused;
            }
          }
  EXPECT_GT(worked, 150);
  EXPECT_GT(refused, 1000);
}

TEST(Combinations, SymmetryOfGgufIsTheTypes) {
  for (const char* method : {"gguf", "gptq", "rtn"}) {
    QuantizeOptions o;
    o.method = method, o.format = "gguf", o.symmetric = false;
    EXPECT_THROW(resolve(o), Error) << method;
  }
}

TEST(Combinations, ARowHasOneScaleInLlmInt8) {
  QuantizeOptions o;
  o.method = "int8";
  EXPECT_EQ(resolve(o).granularity, "channel");  // nothing was asked for
  o.granularity_typed = true;
  EXPECT_THROW(resolve(o), Error);
  o.act_bits = 8, o.format = "compressed-tensors";
  EXPECT_THROW(resolve(o), Error);
}

}  // namespace
}  // namespace teeny
