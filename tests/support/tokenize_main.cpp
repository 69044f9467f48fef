// Ids for tests/interop: TOKENIZER is a tokenizer.json or a GGUF file.
//   tokenize TOKENIZER TEXT [REPEAT]  ids of TEXT to stdout, a line for each document (NUL separates them); seconds a pass to stderr
//   tokenize TOKENIZER --jsonl        stdin: a JSON string a line; stdout: {"ids", "special" (with BOS), "text", "plain", "stream"} a line
//   tokenize TOKENIZER --write OUT    the vocabulary as OUT: a tokenizer.json, or a GGUF file with a tiny model
#include <chrono>
#include <iostream>

#include "family/gguf_vocabulary.h"
#include "teeny/containers/sink.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"
#include "teeny/text/dataset.h"

namespace {
using namespace teeny;

BpeData read_vocabulary(const std::string& path) {
  if (path.ends_with(".json")) return read_tokenizer_json(read_json_file(path, "tokenizer"), path);
  return read_gguf_vocabulary(*open_source(path)->gguf(), path);
}

double seconds_since(std::chrono::steady_clock::time_point start) { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }

// A GGUF file that llama.cpp loads: the vocabulary, and a model of one small block of zeros.
void write_vocabulary(const BpeData& data, const std::string& out) {
  if (out.ends_with(".json")) return write_file(out, dump_json(write_tokenizer_json(data)));
  constexpr int64_t kHidden = 32;
  GgufMetadata metadata;
  metadata.set_string("general.architecture", "llama");
  for (const auto& [key, value] : {std::pair<const char*, int64_t>("block_count", 1), {"context_length", 64}, {"embedding_length", kHidden}, {"feed_forward_length", kHidden}, {"attention.head_count", 1}, {"rope.dimension_count", kHidden}})
    metadata.set_u32(fmt::format("llama.{}", key), uint32_t(value));
  metadata.set_f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  ModelSpec spec;
  spec.vocab = int64_t(data.tokens.size());
  write_gguf_tokens(data, spec, out, metadata);
  std::vector<TensorSpec> tensors{{"token_embd.weight", DType::F16, {spec.vocab, kHidden}}, {"output_norm.weight", DType::F32, {kHidden}}};
  for (const char* name : {"attn_norm", "ffn_norm"}) tensors.push_back({fmt::format("blk.0.{}.weight", name), DType::F32, {kHidden}});
  for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"})
    tensors.push_back({fmt::format("blk.0.{}.weight", name), DType::F16, {kHidden, kHidden}});
  auto sink = create_gguf_sink(out, metadata, tensors);
  for (const auto& tensor : tensors) {
    size_t bytes = tensor.dtype == DType::F16 ? 2 : 4;
    for (const int64_t n : tensor.shape) bytes *= size_t(n);
    sink->put(tensor.name, std::vector<std::byte>(bytes));
  }
  sink->finish();
}

// What the stream gives, when each step of it may be cut anywhere.
std::string streamed(const Tokenizer& tokenizer, const std::vector<int32_t>& ids, bool skip_special) {
  std::string out;
  const auto stream = tokenizer.decode_stream(skip_special);
  for (const int32_t id : ids) out += stream->push(id);
  return out + stream->finish();
}

void answer_lines(const Tokenizer& tokenizer) {
  for (std::string line; std::getline(std::cin, line);) {
    const auto text = parse_json(line, "tokenize", "stdin").get<std::string>();
    const auto ids = tokenizer.encode(text), special = tokenizer.encode(text, true);
    const std::string all = tokenizer.decode(special, false), plain = tokenizer.decode(special, true);
    const bool same = streamed(tokenizer, special, false) == all && streamed(tokenizer, special, true) == plain;
    std::cout << Json{{"ids", ids}, {"special", special}, {"text", all}, {"plain", plain}, {"stream", same}}.dump() << "\n";
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) return std::cerr << "usage: tokenize TOKENIZER (TEXT [REPEAT] | --jsonl | --write OUT)\n", 2;
  const std::string mode = argv[2];
  if (mode == "--write" && argc > 3) return write_vocabulary(read_vocabulary(argv[1]), argv[3]), 0;
  const auto start = std::chrono::steady_clock::now();
  BpeData data = read_vocabulary(argv[1]);
  const double parse = seconds_since(start);
  const auto tokenizer = make_tokenizer(std::move(data), argv[1]);
  if (mode == "--jsonl") return answer_lines(*tokenizer), 0;
  std::cerr << fmt::format("parse {:.3f} s, build {:.3f} s\n", parse, seconds_since(start) - parse);
  const std::string text = read_text(mode);
  std::vector<std::string_view> documents;
  for (size_t at = 0; at <= text.size();) {
    const size_t stop = std::min(text.find('\0', at), text.size());
    documents.push_back(std::string_view(text).substr(at, stop - at));
    at = stop + 1;
  }
  std::vector<std::vector<int32_t>> ids(documents.size());
  for (int pass = 0; pass < (argc > 3 ? std::stoi(argv[3]) : 1); ++pass) {
    const auto begin = std::chrono::steady_clock::now();
    for (size_t i = 0; i < documents.size(); ++i) ids[i] = tokenizer->encode(documents[i]);
    std::cerr << fmt::format("pass {} {:.6f} s\n", pass, seconds_since(begin));
  }
  for (const auto& list : ids) std::cout << fmt::format("{}\n", fmt::join(list, " "));
} catch (const teeny::Error& e) {
  std::cerr << e.what() << "\n";
  return static_cast<int>(e.kind());
}
