// The chat templates that are known, as patterns over the canonical form of jinja_canonical.h.
#include <algorithm>
#include <optional>

#include "teeny/core/error.h"
#include "teeny/text/tokenizer.h"
#include "text/char_class.h"
#include "text/jinja_canonical.h"
#include "text/utf8.h"

namespace teeny {
namespace {

// What every known template renders: per message open + role + middle + content + close.
struct Layout {
  const char *name, *open, *middle, *close, *bos;
  bool trim;           // content without surrounding white space (Jinja's trim)
  bool needs_first;    // looks at messages[0]: there must be one
  bool roles_checked;  // only system, user and assistant have a form; others need tools
  bool always_prompt;  // opens the assistant's turn whether asked to or not
};
constexpr Layout kChatml = {"chatml", "<|im_start|>", "\n", "<|im_end|>\n", "", false, false, false, false};
constexpr Layout kChatmlSystem = {"chatml", "<|im_start|>", "\n", "<|im_end|>\n", "", false, true, false, false};
constexpr Layout kQwen2 = {"qwen2", "<|im_start|>", "\n", "<|im_end|>\n", "", false, false, false, false};
constexpr Layout kQwen25 = {"qwen2.5", "<|im_start|>", "\n", "<|im_end|>\n", "", false, true, true, false};
constexpr Layout kLlama3 = {"llama3", "<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>", "<|begin_of_text|>", true, false, false, false};
constexpr Layout kLlama3First = {"llama3", "<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>", "<|begin_of_text|>", true, false, false, true};

// $SYSTEM$ stands for any default system text; {% ANY %} for any run of tokens whose ifs and fors are closed: branches
// that roles_checked keeps messages out of.
struct Known {
  const Layout& layout;
  const char* jinja;
};
constexpr Known kKnown[] = {
    {kChatml,
     "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"},
    {kChatmlSystem,
     "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\\n$SYSTEM$<|im_end|>\\n' }}{% endif %}"
     "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"},
    {kQwen2,
     "{% for message in messages %}{% if loop.first and messages[0].role != 'system' %}{{ '<|im_start|>system\\n$SYSTEM$<|im_end|>\\n' }}{% endif %}"
     "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"},
    {kQwen25,
     "{% if messages[0].role == 'system' %}{{ '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}"
     "{% else %}{{ '<|im_start|>system\\n$SYSTEM$<|im_end|>\\n' }}{% endif %}"
     "{% for message in messages %}{% if (message.role == 'user') or (message.role == 'system' and not loop.first) or "
     "(message.role == 'assistant' and not message.tool_calls) %}"
     "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
     "{% elif message.role == 'assistant' %}{% ANY %}{% elif message.role == 'tool' %}{% ANY %}{% endif %}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"},
    {kLlama3,
     "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message.role + "
     "'<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
     "{% endif %}{{ content }}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"},
    {kLlama3First,
     "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message.role + "
     "'<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
     "{% endif %}{{ content }}{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"},
};
// Older templates open with this, which changes nothing: an undefined name is false anyway.
constexpr const char* kIdlePrelude =
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}";

using Tokens = std::vector<TemplateToken>;

bool match_literal(std::string_view pattern, std::string_view text, std::optional<std::string>& system) {
  const size_t hole = pattern.find("$SYSTEM$");
  if (hole == std::string_view::npos) return pattern == text;
  const auto before = pattern.substr(0, hole), after = pattern.substr(hole + 8);
  if (text.size() < before.size() + after.size() || !text.starts_with(before) || !text.ends_with(after)) return false;
  system = text.substr(before.size(), text.size() - before.size() - after.size());
  return true;
}

// The end of the closed run that starts at `at`: the first elif, else, endif or endfor of an outer statement.
size_t closed_run_end(const Tokens& tokens, size_t at) {
  for (int depth = 0; at < tokens.size(); ++at) {
    if (tokens[at].kind != TemplateToken::Tag) continue;
    const std::string word = tokens[at].text.substr(0, tokens[at].text.find(' '));
    const bool ends = word == "endif" || word == "endfor";
    if (depth == 0 && (ends || word == "elif" || word == "else")) break;
    if (word == "if" || word == "for") ++depth;
    if (ends) --depth;
  }
  return at;
}

bool match(const Tokens& pattern, const Tokens& tokens, std::optional<std::string>& system) {
  size_t at = 0;
  for (const TemplateToken& expected : pattern) {
    if (expected == TemplateToken{TemplateToken::Tag, "ANY"}) {
      at = closed_run_end(tokens, at);
      continue;
    }
    if (at >= tokens.size() || tokens[at].kind != expected.kind) return false;
    const bool same = expected.kind == TemplateToken::Literal ? match_literal(expected.text, tokens[at].text, system)
                                                              : expected.text == tokens[at].text;
    if (!same) return false;
    ++at;
  }
  return at == tokens.size();
}

// str.strip() of Python: White_Space and the four separators U+001C to U+001F.
std::string_view trim(std::string_view text) {
  const auto blank = [](uint32_t c) { return is_space_char(c) || (c >= 0x1C && c <= 0x1F); };
  int length = 0;
  while (!text.empty() && blank(decode_utf8(text.data(), length))) text.remove_prefix(static_cast<size_t>(length));
  while (!text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
    if (!blank(decode_utf8(text.data() + start, length))) break;
    text = text.substr(0, start);
  }
  return text;
}

class LayoutTemplate : public ChatTemplate {
 public:
  LayoutTemplate(const Layout& layout, std::optional<std::string> system, std::string subject)
      : layout_(layout), system_(std::move(system)), subject_(std::move(subject)) {}
  std::string name() const override { return layout_.name; }

  std::string render(const std::vector<ChatMessage>& messages, bool add_generation_prompt) const override {
    if (messages.empty() && layout_.needs_first)
      throw input_error("chat", subject_, "no messages: the template \"{}\" needs at least one", layout_.name);
    std::string out;
    if (!messages.empty()) out = layout_.bos;
    if (system_ && !messages.empty() && messages[0].role != "system") add(out, {"system", *system_}, false);
    for (const ChatMessage& message : messages) {
      if (layout_.roles_checked && message.role != "system" && message.role != "user" && message.role != "assistant")
        throw input_error("chat", subject_, "role \"{}\" has no form without tools in the template \"{}\"; use system, user or assistant",
                          message.role, layout_.name);
      add(out, message, layout_.trim);
    }
    if (add_generation_prompt || layout_.always_prompt) out.append(layout_.open).append("assistant").append(layout_.middle);
    return out;
  }

 private:
  void add(std::string& out, const ChatMessage& message, bool trimmed) const {
    std::string storage;
    const std::string_view content = trimmed ? trim(valid_utf8(message.content, storage)) : std::string_view(message.content);
    out.append(layout_.open).append(message.role).append(layout_.middle).append(content).append(layout_.close);
  }
  const Layout& layout_;
  std::optional<std::string> system_;  // put first when the messages bring none
  std::string subject_;
};

}  // namespace

std::shared_ptr<ChatTemplate> recognise_chat_template(const std::string& jinja, std::string_view subject) {
  if (jinja.empty()) return nullptr;
  Tokens tokens, prelude;
  const bool readable = canonical_template(jinja, tokens);
  canonical_template(kIdlePrelude, prelude);
  if (tokens.size() >= prelude.size() && std::equal(prelude.begin(), prelude.end(), tokens.begin()))
    tokens.erase(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(prelude.size()));
  for (const Known& known : kKnown) {
    Tokens pattern;
    std::optional<std::string> system;
    TEENY_ASSERT(canonical_template(known.jinja, pattern));
    if (readable && match(pattern, tokens, system))
      return std::make_shared<LayoutTemplate>(known.layout, std::move(system), std::string(subject));
  }
  throw input_error("chat", subject, "the chat template ({} bytes, \"{:.60}\"...) is not one that is known: chatml, qwen2, qwen2.5, llama3; "
                    "templates are recognised, never executed; give the prompt as plain text instead", jinja.size(), jinja);
}

}  // namespace teeny
