#include "judge/signature.h"

#include <cctype>
#include <string_view>

#include "teeny/core/error.h"

namespace teeny::judge {
namespace {

constexpr const char* kSpaces = " \t\r\n";
constexpr size_t kNowhere = std::string_view::npos;

bool in_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '@'; }

std::string_view trimmed_right(std::string_view text) { return text.substr(0, text.find_last_not_of(kSpaces) + 1); }

std::string trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpaces);
  return first == kNowhere ? "" : std::string(trimmed_right(text.substr(first)));
}

// The name that `text` ends in, spaces aside; "" when it ends in something else.
std::string_view last_name(std::string_view text) {
  text = trimmed_right(text);
  size_t start = text.size();
  while (start > 0 && in_name(text[start - 1])) --start;
  const std::string_view name = text.substr(start);
  return name.empty() || std::isdigit(static_cast<unsigned char>(name[0])) ? std::string_view() : name;
}

// `front` ends in `word`, which is a word of its own and may have spaces after it; "": at the start of a line.
bool ends_in_word(std::string_view front, std::string_view word) {
  if (word.empty()) return front.empty() || front.back() == '\n';
  front = trimmed_right(front);
  return front.ends_with(word) && (front.size() == word.size() || !in_name(word[0]) || !in_name(front[front.size() - word.size() - 1]));
}

// The last name with `before` in front of it and `after` behind it.
std::string name_between(std::string_view text, std::string_view before, std::string_view after) {
  for (size_t at = text.rfind(after); at != kNowhere && at > 0; at = text.rfind(after, at - 1)) {
    const std::string_view name = last_name(text.substr(0, at));
    if (name.empty()) continue;
    const std::string_view front = text.substr(0, size_t(name.data() - text.data()));
    if (ends_in_word(front, before)) return std::string(name);
  }
  return "";
}

// Where the parameters of the line's function begin: the first round bracket outside angle ones.
size_t parameters_at(std::string_view line) {
  int depth = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    depth += (line[i] == '<') - (line[i] == '>');
    if (line[i] == '(' && depth <= 0) return i;
  }
  return kNowhere;
}

// The last word before each comma that is outside brackets.
std::vector<std::string> parameter_names(std::string_view list) {
  std::vector<std::string> out;
  int depth = 0;
  size_t start = 0;
  for (size_t i = 0; i <= list.size(); ++i) {
    const char c = i < list.size() ? list[i] : ',';
    depth += (c == '<' || c == '(' || c == '[') - (c == '>' || c == ')' || c == ']');
    if (c != ',' || (depth > 0 && i < list.size())) continue;
    if (const auto name = last_name(list.substr(start, i - start)); !name.empty()) out.emplace_back(name);
    start = i + 1;
  }
  return out;
}

}  // namespace

std::string find_entry_point(const Language& language, const Problem& problem) {
  const EntryMarks& marks = language.entry;
  if (marks.test_after)
    if (const std::string name = name_between(problem.test, marks.test_before, marks.test_after); !name.empty()) return name;
  if (marks.prompt_after) return name_between("\n" + problem.prompt, marks.prompt_before, marks.prompt_after);
  try {
    const OpenedPrompt prompt = split_prompt(problem.prompt);
    const size_t open = parameters_at(prompt.signature);
    return open == kNowhere ? "" : std::string(last_name(std::string_view(prompt.signature).substr(0, open)));
  } catch (const Error&) {
    return "";
  }
}

Signature read_signature(const Problem& problem) {
  OpenedPrompt prompt = split_prompt(problem.prompt);
  const std::string_view line = prompt.signature;
  const size_t open = parameters_at(line), close = line.rfind(')');
  const std::string_view name = open == kNowhere ? std::string_view() : last_name(line.substr(0, open));
  Signature out;
  if (!name.empty() && close != kNowhere && close > open) out.type = trimmed(line.substr(0, size_t(name.data() - line.data())));
  for (const std::string_view word : {"public ", "static "})
    if (out.type.starts_with(word)) out.type = trimmed(std::string_view(out.type).substr(word.size()));
  if (out.type.empty() || name != problem.entry_point)
    throw input_error("judge", problem.task_id, "its signature \"{}\" cannot be read as that of {}; fix the problem set", prompt.signature, problem.entry_point);
  out.parameters = parameter_names(line.substr(open + 1, close - open - 1));
  out.preamble = std::move(prompt.preamble);
  out.head = std::move(prompt.signature);
  return out;
}

std::string replace_all(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) text.replace(at, from.size(), to);
  return text;
}

}  // namespace teeny::judge
