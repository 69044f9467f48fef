// Text <-> token ids, as the Hugging Face `tokenizers` package does it, from tokenizer.json or from GGUF's vocabulary.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "teeny/core/json.h"

namespace teeny {

// The pre-tokenizers that are known; an unknown pattern in a file is refused by name, never interpreted.
enum class PreTokenizer { Qwen2, Llama3, Gpt2 };

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false, single_word = false, lstrip = false, rstrip = false, normalized = false;
};

// Plain data of a byte-level BPE vocabulary: what both containers carry.
struct BpeData {
  std::vector<std::string> tokens;                           // by id, in the byte-level alphabet ("Ġthe"); added ones as they are; gaps empty
  std::vector<std::pair<std::string, std::string>> merges;   // by rank
  std::vector<AddedToken> added;
  PreTokenizer pre = PreTokenizer::Qwen2;
  bool nfc = false, ignore_merges = false, add_bos = false;
  bool prefix_space = false;                                 // a space goes before text that has none (Gpt2 only)
  int32_t bos = -1, eos = -1, pad = -1;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Special (added) tokens in the text are recognised, as tokenizers does. add_special: what the post-processor adds (BOS).
  // Bytes that are not UTF-8 become U+FFFD, one for each maximal ill-formed part. Safe from several threads at once.
  virtual std::vector<int32_t> encode(std::string_view text, bool add_special = false) const = 0;
  // Ids without a token give nothing; bytes that are not UTF-8 give U+FFFD.
  virtual std::string decode(std::span<const int32_t> ids, bool skip_special = true) const = 0;
  virtual std::string decode_bytes(int32_t id) const = 0;      // the raw bytes of one token (may be part of a character)
  virtual int64_t size() const = 0;                            // ids are in [0, size)
  virtual int32_t id_of(std::string_view token) const = 0;     // -1: absent
  virtual const BpeData& data() const = 0;                     // to write the vocabulary into another container
};

// Input error, by name, for anything in the file that is not known to mean what `tokenizers` makes of it.
BpeData read_tokenizer_json(const Json& tokenizer, std::string_view subject);
Json write_tokenizer_json(const BpeData& data);  // what read_tokenizer_json reads back as the same data
std::shared_ptr<Tokenizer> make_tokenizer(BpeData data, std::string_view subject);

// Chat: the templates that are known are recognised by what they render, never executed.
struct ChatMessage {
  std::string role, content;
};
class ChatTemplate {
 public:
  virtual ~ChatTemplate() = default;
  virtual std::string name() const = 0;  // "chatml", "qwen2.5", "llama3", ...
  // The whole prompt, BOS included where the template prints one: encode it with add_special = false.
  virtual std::string render(const std::vector<ChatMessage>& messages, bool add_generation_prompt) const = 0;
};
// nullptr: no template. Input error naming the file for a template that is not on the whitelist.
std::shared_ptr<ChatTemplate> recognise_chat_template(const std::string& jinja, std::string_view subject);

}  // namespace teeny
