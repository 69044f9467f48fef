// Renders against jinja2's (tests/interop/make_text_cases.py).
#include <gtest/gtest.h>

#include "text_fixture.h"

namespace teeny::test {
namespace {

std::vector<ChatMessage> messages_of(const Json& list) {
  std::vector<ChatMessage> messages;
  for (const Json& one : list) messages.push_back({one["role"], one["content"]});
  return messages;
}

TEST(ChatTemplate, RendersAsJinjaDoes) {
  const Json cases = read_json_file(kRoot + "/tests/data/chat_cases.json", "test");
  size_t count = 0;
  for (const Json& one : cases) {
    const auto chat = recognise_chat_template(one["template"], "test");
    ASSERT_TRUE(chat);
    EXPECT_EQ(chat->name(), one["name"].get<std::string>());
    for (const Json& render : one["renders"]) {
      EXPECT_EQ(chat->render(messages_of(render["messages"]), render["prompt"]), render["text"].get<std::string>()) << one["template"];
      ++count;
    }
  }
  EXPECT_GE(count, 80u);
}

TEST(ChatTemplate, Qwen25TakesItsSystemTextFromTheTemplate) {
  const std::string path = kShared + "/tokenizers/qwen2.5/tokenizer_config.json";
  if (!path_exists(path)) GTEST_SKIP() << path << " is not there";
  std::string jinja = read_json_file(path, "test")["chat_template"];
  const auto chat = recognise_chat_template(jinja, "test");
  EXPECT_EQ(chat->name(), "qwen2.5");
  const std::string expected = "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
                               "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
  EXPECT_EQ(chat->render({{"user", "Hi"}}, true), expected);
  EXPECT_EQ(chat->render({{"system", "S"}, {"user", "U"}, {"assistant", "A"}, {"system", "T"}}, false),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>system\nT<|im_end|>\n");
  EXPECT_NE(error_of([&] { chat->render({{"tool", "x"}}, true); }).find("3 [chat] test: role \"tool\""), std::string::npos);
  EXPECT_NE(error_of([&] { chat->render({}, true); }).find("no messages"), std::string::npos);
  // Another model of the family differs in this text alone.
  for (const std::string old = "You are Qwen, created by Alibaba Cloud. "; jinja.find(old) != std::string::npos;) jinja.replace(jinja.find(old), old.size(), "It's me: ");
  EXPECT_NE(error_of([&] { recognise_chat_template(jinja, "test"); }), "");  // the quote now ends the literal
  jinja.replace(jinja.find("It's me: You are a helpful assistant.<|im_end|>"), 9, "It is me: ");
  jinja.replace(jinja.find("It's me: "), 9, "It is me: ");
  EXPECT_EQ(recognise_chat_template(jinja, "test")->render({{"user", "Hi"}}, false),
            "<|im_start|>system\nIt is me: You are a helpful assistant.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n");
}

TEST(ChatTemplate, NoTemplateIsNone) { EXPECT_EQ(recognise_chat_template("", "test"), nullptr); }

TEST(ChatTemplate, RefusesWhatItDoesNotKnow) {
  const std::string line = "{{'<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n'}}";
  const std::string prompt = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
  const std::string known = "{% for message in messages %}" + line + "{% endfor %}" + prompt;
  EXPECT_EQ(error_of([&] { recognise_chat_template(known, "test"); }), "");
  const std::string unknown[] = {
      "x", "{{", "{% for", "{{ 'a }}", "{# never closed", "{% if tools %}", "{{ '\\x41' }}", "{% ANY %}", "$SYSTEM$",
      known + " ", "." + known, known + "{{ x }}", "{% for message in messages %}" + line + "{% endfor %}",
      "{% for message in messages %} " + line + "{% endfor %}" + prompt,
      "{% for message in messages %}\n    " + line + "\n{% endfor %}" + prompt,  // prints the indentation
      "{% for message in messages %}" + line + line + "{% endfor %}" + prompt,
      "{% for message in messages[1:] %}" + line + "{% endfor %}" + prompt,
      "{% for message in messages %}{{'<|im_start|>' + message.role + '\\n' + message.content|trim + '<|im_end|>\\n'}}{% endfor %}" + prompt,
      "{% for message in messages %}{{ \"[INST] \" + message.content }}{% endfor %}"};
  for (const std::string& jinja : unknown) {
    const std::string message = error_of([&] { recognise_chat_template(jinja, "tokenizer_config.json"); });
    EXPECT_EQ(message.rfind("3 [chat] tokenizer_config.json: the chat template", 0), 0u) << jinja;
    EXPECT_NE(message.find("chatml, qwen2, qwen2.5, llama3"), std::string::npos) << jinja;
  }
}

TEST(ChatTemplate, SpellingDoesNotMatter) {
  const auto chat = recognise_chat_template(
      "{% for   message in messages -%}  \n {# note #}\n  {{- \"<|im_start|>\" + message[\"role\"] -}}  {{ '\n' }}{{ message['content'] + \"<|im_end|>\\n\" -}}\n"
      "{% endfor %}\n  {% if add_generation_prompt %}\n<|im_start|>assistant\n{% endif %}\n", "test");
  EXPECT_EQ(chat->render({{"user", "Hi"}}, true), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

}  // namespace
}  // namespace teeny::test
