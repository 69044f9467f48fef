// The instruct protocol: what a chat model is asked, and how its answer becomes a program that the tests fit.
#include <algorithm>
#include <cctype>

#include "judge/language.h"

namespace teeny {
namespace {

struct Names {
  std::string_view language, fence;         // fence: what the instruction writes after ```
  std::vector<std::string_view> accepted;   // what answers write there, in lower case
  std::string_view main;                    // where a main program begins; "" when the language has none
};

const Names& names_of(std::string_view language) {
  static const Names table[] = {
      {"python", "python", {"python", "py", "python3"}, ""},
      {"cpp", "cpp", {"cpp", "c++", "cc", "cxx"}, "int main("},
      {"java", "java", {"java"}, "public static void main("},
      {"cs", "csharp", {"csharp", "cs", "c#"}, "static void Main("},
      {"ts", "typescript", {"typescript", "ts"}, ""},
      {"js", "javascript", {"javascript", "js"}, ""},
      {"php", "php", {"php"}, ""},
      {"sh", "bash", {"bash", "sh", "shell"}, ""},
  };
  for (const Names& n : table)
    if (n.language == language) return n;
  return table[0];
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = char(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

std::string stripped(std::string_view text) {
  size_t first = text.find_first_not_of(" \t\r\n"), last = text.find_last_not_of(" \t\r\n");
  return first == std::string_view::npos ? "" : std::string(text.substr(first, last - first + 1));
}

// The first fenced block of the language, else the first block of any, else the whole answer. A fence left open ends with
// the answer.
std::string code_block(const Names& names, std::string_view answer) {
  std::string any;
  bool found = false;
  for (size_t at = answer.find("```"); at != std::string_view::npos;) {
    const size_t line_end = answer.find('\n', at + 3);
    if (line_end == std::string_view::npos) break;
    const std::string tag = lower(stripped(answer.substr(at + 3, line_end - at - 3)));
    size_t end = answer.find("```", line_end);
    const std::string_view body = answer.substr(line_end + 1, (end == std::string_view::npos ? answer.size() : end) - line_end - 1);
    if (std::find(names.accepted.begin(), names.accepted.end(), tag) != names.accepted.end()) return std::string(body);
    if (!found) any = body, found = true;
    if (end == std::string_view::npos) break;
    at = answer.find("```", end + 3);
  }
  return found ? any : std::string(answer);
}

// From the line that begins a main program on; examples of use stand there.
void drop_main(const Names& names, std::string& code) {
  if (names.main.empty()) return;
  const size_t at = code.find(names.main);
  if (at == std::string::npos) return;
  const size_t line = code.rfind('\n', at);
  code.resize(line == std::string::npos ? 0 : line + 1);
}

bool word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$'; }

// Where `name` stands as a word of its own, from `at` on; npos: nowhere.
size_t find_word(std::string_view code, std::string_view name, size_t at) {
  for (at = code.find(name, at); at != std::string_view::npos; at = code.find(name, at + 1)) {
    const size_t end = at + name.size();
    if ((at == 0 || !word(code[at - 1])) && (end == code.size() || !word(code[end]))) return at;
  }
  return at;
}

// The name followed by a bracket. (No std::regex on what a model wrote: it recurses as deep as its input is long.)
bool defines(std::string_view code, const std::string& entry_point) {
  if (entry_point.empty()) return false;
  for (size_t at = find_word(code, entry_point, 0); at != std::string_view::npos; at = find_word(code, entry_point, at + 1)) {
    const size_t next = code.find_first_not_of(" \t\r\n", at + entry_point.size());
    if (next != std::string_view::npos && (code[next] == '(' || code[next] == '<')) return true;
  }
  return false;
}

template <class Visit>
void each_line(std::string_view text, Visit&& visit) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    visit(text.substr(at, end - at));
    at = end + 1;
  }
}

// Where the bracket opened at `open` is closed, strings and comments not looked at; npos when it is not.
size_t closing_bracket(const std::string& code, size_t open) {
  int depth = 0;
  for (size_t i = open; i < code.size(); ++i) {
    depth += (code[i] == '{') - (code[i] == '}');
    if (depth == 0) return i;
  }
  return std::string::npos;
}

// A class around the function is taken off (the prompt brings its own); import and using lines go to the front.
std::string members(const std::string& code, const std::string& entry_point, std::string& imports) {
  std::string rest;
  each_line(code, [&](std::string_view line) {
    const std::string text = stripped(line);
    const bool is_import = (text.starts_with("import ") || text.starts_with("using ")) && text.ends_with(";") && text.find_first_of("(=") == std::string::npos;
    (is_import ? imports : rest) += (is_import ? text : std::string(line)) + "\n";
  });
  for (size_t at = find_word(rest, "class", 0); at != std::string::npos; at = find_word(rest, "class", at + 1)) {
    const size_t open = rest.find_first_of("{;", at);
    if (open == std::string::npos || rest[open] == ';') continue;
    const size_t close = closing_bracket(rest, open), line = rest.rfind('\n', at);
    const std::string inside = rest.substr(open + 1, close == std::string::npos ? close : close - open - 1);
    if (defines(inside, entry_point)) return rest.substr(0, line == std::string::npos ? 0 : line + 1) + inside;
  }
  return rest;
}

// The unions of MultiPL-E's prompts, which an answer repeats.
std::string without_unions(std::string code) {
  for (size_t at = code.find("union Union_"); at != std::string::npos; at = code.find("union Union_", at)) {
    const size_t end = code.find("\n};", at);
    code.erase(at, end == std::string::npos ? end : end + 3 - at);
  }
  return code;
}

// Without the last bracket that stands in a line of its own at its front: the tests bring it.
std::string without_last_bracket(const std::string& code) {
  const size_t last = code.find_last_not_of(" \t\r\n");
  return last != std::string::npos && code[last] == '}' ? code.substr(0, last) : code.substr(0, last == std::string::npos ? 0 : last + 1);
}

// Statements after the last function (examples of use) are cut.
std::string up_to_last_bracket(const std::string& code) {
  const size_t at = code.rfind("\n}");
  return at == std::string::npos ? code : code.substr(0, at + 2) + "\n";
}

std::string imports_of_prompt(const Problem& problem) {
  std::string out;
  each_line(problem.prompt, [&](std::string_view line) {
    if (line.starts_with("import ") || line.starts_with("from ")) out += std::string(line) + "\n";
  });
  return out;
}

std::string without_php_tags(const std::string& code) {
  std::string out = stripped(code);
  if (out.starts_with("<?php")) out.erase(0, 5);
  if (out.ends_with("?>")) out.resize(out.size() - 2);
  return out;
}

}  // namespace

std::string instruct_prompt(const Problem& problem) {
  return "Please continue to complete the function. You are not allowed to modify the given code and do the completion only. Please return all completed function in a "
         "codeblock. Here is the given code to do completion:\n```" +
         std::string(names_of(problem.language).fence) + "\n" + stripped(problem.prompt) + "\n```";
}

std::string extract_program(const Problem& problem, std::string_view answer) {
  if (stripped(answer).empty()) return "";
  const Names& names = names_of(problem.language);
  std::string code = code_block(names, answer);
  if (problem.language == "php") code = without_php_tags(code);
  drop_main(names, code);
  const bool closes = !judge::closing(problem).empty();
  if (!defines(code, problem.entry_point)) return problem.prompt + (closes ? without_last_bracket(code) : code);  // the body alone
  if (problem.language == "python") return imports_of_prompt(problem) + code;
  if (problem.language == "php") return "<?php\n" + up_to_last_bracket(code);
  if (!closes) return up_to_last_bracket(code);
  if (problem.language == "sh") return without_last_bracket(up_to_last_bracket(code));
  judge::OpenedPrompt prompt = judge::split_prompt(problem.prompt);
  if (problem.language == "cpp") return prompt.preamble + without_last_bracket(up_to_last_bracket(without_unions(code)));
  std::string imports, body = members(code, problem.entry_point, imports);
  return imports + prompt.preamble + without_last_bracket(body);
}

}  // namespace teeny
