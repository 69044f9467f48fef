// Any bytes as tokenizer.json and as text: an Input error or a tokenizer that works. The first NUL byte separates them;
// without one the input is text for a tokenizer of 256 bytes and a few merges. clang -fsanitize=fuzzer,address,undefined.
#include <cstdint>
#include <string>

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

void check(const teeny::Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text, true);
  for (const int32_t id : ids)
    if (id < 0 || id >= tokenizer.size()) __builtin_trap();
  const std::string once = tokenizer.decode(ids, false);
  tokenizer.decode(ids, true);
  if (tokenizer.encode(text, true) != ids) __builtin_trap();  // the cache gives what merging gave
  tokenizer.encode(once);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  const size_t cut = input.find('\0');
  try {
    if (cut == std::string_view::npos) {
      static const auto qwen = make_tokenizer(small_vocabulary(teeny::PreTokenizer::Qwen2), "fuzz");
      static const auto llama = make_tokenizer(small_vocabulary(teeny::PreTokenizer::Llama3), "fuzz");
      static const auto gpt = make_tokenizer(small_vocabulary(teeny::PreTokenizer::Gpt2), "fuzz");
      for (const auto* tokenizer : {qwen.get(), llama.get(), gpt.get()}) check(*tokenizer, input);
      if (const auto chat = teeny::recognise_chat_template(std::string(input), "fuzz")) chat->render({{"user", "hi"}}, true);
      return 0;
    }
    const auto json = teeny::parse_json(input.substr(0, cut), "fuzz", "input");
    check(*teeny::make_tokenizer(teeny::read_tokenizer_json(json, "input"), "input"), input.substr(cut + 1));
  } catch (const teeny::Error& e) {
    if (e.kind() != teeny::ErrorKind::Input) __builtin_trap();
  }
  return 0;
}
