// Any bytes as tokenizer.json and as text: an Input error or a tokenizer that works. The first NUL byte separates them;
// without one the input is text for tokenizers of a few merges, of every kind. JSON that begins with '[' stands for keys of
// a GGUF vocabulary: [tokens, types, scores, merges, options]. clang -fsanitize=fuzzer,address,undefined.
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "family/gguf_vocabulary.h"
#include "teeny/core/error.h"
#include "teeny/text/tokenizer.h"

namespace {

std::string utf8(uint32_t c) {
  if (c < 0x80) return std::string(1, static_cast<char>(c));
  return {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
}

teeny::BpeData small_vocabulary(teeny::PreTokenizer pre) {
  teeny::BpeData data;
  uint32_t next = 0x100;
  for (uint32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    data.tokens.push_back(utf8(printable ? b : next++));
  }
  const auto merge = [&](const std::string& a, const std::string& b) {
    data.merges.push_back({a, b});
    data.tokens.push_back(a + b);
  };
  merge("a", "a"), merge("aa", "aa"), merge("aa", "a"), merge(utf8(0x120), "a"), merge("e", "r"), merge("h", "er"), merge("\xC3\x83", "\xC2\xA9");
  const auto add = [&](const char* content, int flags) {
    data.added.push_back({static_cast<int32_t>(data.tokens.size()), content, (flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0, (flags & 8) != 0, (flags & 16) != 0});
    data.tokens.push_back(content);
  };
  add("<|a|>", 1), add("<|a", 2), add("her ", 12), add("\xCC\x81", 16), add("e\xCC\x81", 18), add("\n\n", 4), add("ab", 30);
  data.pre = pre;
  data.nfc = true;
  return data;
}

// The same with characters: pieces with U+2581, some of the bytes.
teeny::BpeData small_pieces(teeny::SpacePrefix prefix, bool metaspace) {
  const std::string mark = "\xE2\x96\x81";
  teeny::BpeData data;
  data.alphabet = teeny::Alphabet::Characters;
  data.pre = teeny::PreTokenizer::None;
  data.decoder = metaspace ? teeny::TokenDecoder::Metaspace : teeny::TokenDecoder::ByteFallback;
  data.tokens = {"<unk>", "<s>", mark, "a", "e", "r", "h", "\n", "\xC3\xA9"};
  for (const char* token : {"<0x00>", "<0x41>", "<0xC3>", "<0xA9>", "<0xF0>"}) data.tokens.push_back(token);
  for (const auto& [a, b] : {std::pair(mark, mark), {mark, std::string("a")}, {"a", "a"}, {"aa", "aa"}, {"e", "r"}, {"h", "er"}}) {
    data.merges.push_back({a, b});
    data.tokens.push_back(a + b);
  }
  if (metaspace) data.merges.push_back({"a", mark}), data.tokens.push_back("a" + mark);
  data.added = {{.id = 0, .content = "<unk>", .special = true, .in_model = true}, {.id = 1, .content = "<s>", .special = true, .rstrip = true, .normalized = metaspace, .in_model = true}};
  data.prefix = prefix;
  data.metaspace = metaspace;
  data.nfc = data.byte_fallback = data.strip_space = true;
  data.fuse_unk = metaspace;
  data.bos = 1, data.unk = 0;
  return data;
}

teeny::BpeData with_scores(teeny::BpeData data) {
  for (size_t id = 0; id < data.tokens.size(); ++id) data.scores.push_back(-float(id % 7));
  data.merges.clear();
  return data;
}

// A vocabulary as GGUF has it.
teeny::BpeData from_keys(const teeny::Json& list) {
  teeny::GgufMetadata m;
  const auto at = [&](size_t i) { return i < list.size() ? list[i] : teeny::Json(); };
  m.set_string("tokenizer.ggml.model", at(2).is_array() ? "llama" : "gpt2");
  m.set_string("tokenizer.ggml.pre", "tekken");
  const auto strings = [&](const char* key, const teeny::Json& from) {
    if (!from.is_array()) return;
    std::vector<std::string> out;
    for (const auto& one : from) out.push_back(one.is_string() ? one.get<std::string>() : std::string());
    m.set_strings(key, out);
  };
  strings("tokenizer.ggml.tokens", at(0)), strings("tokenizer.ggml.merges", at(3));
  std::vector<int64_t> types;
  std::vector<double> scores;
  for (const auto& one : at(1)) types.push_back(one.is_number_integer() ? one.get<int64_t>() : 1);
  for (const auto& one : at(2)) scores.push_back(one.is_number() ? one.get<double>() : NAN);
  if (at(1).is_array()) m.set_i32s("tokenizer.ggml.token_type", types);
  if (at(2).is_array()) m.set_f32s("tokenizer.ggml.scores", scores);
  if (at(4).is_string()) m.set_string("tokenizer.teeny.options", at(4).get<std::string>());
  return teeny::read_gguf_vocabulary(m, "fuzz");
}

void check(const teeny::Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text, true);
  for (const int32_t id : ids)
    if (id < 0 || id >= tokenizer.size()) __builtin_trap();
  const std::string once = tokenizer.decode(ids, false);
  for (const bool skip : {false, true}) {
    const auto stream = tokenizer.decode_stream(skip);
    std::string joined;
    for (const int32_t id : ids) joined += stream->push(id);
    if (joined + stream->finish() != tokenizer.decode(ids, skip)) __builtin_trap();
  }
  if (tokenizer.encode(text, true) != ids) __builtin_trap();  // the cache gives what merging gave
  tokenizer.encode(once);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  const size_t cut = input.find('\0');
  try {
    if (cut == std::string_view::npos) {
      static const auto tokenizers = [] {
        std::vector<std::shared_ptr<teeny::Tokenizer>> out;
        using enum teeny::PreTokenizer;
        for (const auto pre : {Qwen2, Llama3, Gpt2, Tekken, Gpt4o, Qwen35, SmolLm, DeepSeek3}) out.push_back(make_tokenizer(small_vocabulary(pre), "fuzz"));
        for (const auto prefix : {teeny::SpacePrefix::Part, teeny::SpacePrefix::Never}) out.push_back(make_tokenizer(small_pieces(prefix, false), "fuzz"));
        for (const auto prefix : {teeny::SpacePrefix::First, teeny::SpacePrefix::Always}) out.push_back(make_tokenizer(small_pieces(prefix, true), "fuzz"));
        out.push_back(make_tokenizer(with_scores(small_pieces(teeny::SpacePrefix::Part, false)), "fuzz"));
        return out;
      }();
      for (const auto& tokenizer : tokenizers) check(*tokenizer, input);
      if (const auto chat = teeny::recognise_chat_template(std::string(input), "fuzz")) chat->render({{"user", "hi"}}, true);
      return 0;
    }
    const auto json = teeny::parse_json(input.substr(0, cut), "fuzz", "input");
    const auto data = json.is_array() ? from_keys(json) : teeny::read_tokenizer_json(json, "input");
    const auto tokenizer = teeny::make_tokenizer(data, "input");
    check(*tokenizer, input.substr(cut + 1));
    // What teeny writes it reads back as the same tokenizer. (GGUF tokens of one text may be a merge's and an added token's.)
    if (!json.is_array() && teeny::make_tokenizer(teeny::read_tokenizer_json(teeny::write_tokenizer_json(data), "written"), "written")->encode(input.substr(cut + 1)) !=
                                tokenizer->encode(input.substr(cut + 1)))
      __builtin_trap();
  } catch (const teeny::Error& e) {
    if (e.kind() != teeny::ErrorKind::Input) __builtin_trap();
  }
  return 0;
}
