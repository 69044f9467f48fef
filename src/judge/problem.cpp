// Problem sets in HumanEval's form, and where a completion ends.
#include <algorithm>

#include "judge/signature.h"
#include "teeny/core/error.h"
#include "teeny/text/dataset.h"

namespace teeny {
namespace {

// What HumanEval-Mul's own harness puts before every Python program; numpy apart, see prelude_for.
constexpr std::string_view kMulPythonPrelude =
    "import math, re, sys, copy, datetime, itertools, collections, heapq, statistics, functools, hashlib, string\n"
    "from typing import *\nfrom collections import *\n";
constexpr std::string_view kMulNumpy = "import numpy\nimport numpy as np\n";

std::string text_field(const Json& row, const char* key, const std::string& path, const std::string& task, bool required) {
  auto it = row.find(key);
  if (it == row.end() || it->is_null()) {
    if (required) throw input_error("judge", path, "task {} has no \"{}\"; is this a problem set in HumanEval's form?", task, key);
    return "";
  }
  if (!it->is_string()) throw input_error("judge", path, "task {}: \"{}\" is not a string; fix the file", task, key);
  return it->get<std::string>();
}

Problem read_problem(const Json& row, const std::string& path, size_t number) {
  if (!row.is_object()) throw input_error("judge", path, "record {} is not an object; is this a problem set?", number);
  Problem p;
  p.task_id = text_field(row, "task_id", path, fmt::format("#{}", number), false);
  if (p.task_id.empty()) p.task_id = text_field(row, "name", path, fmt::format("#{}", number), true);
  p.language = text_field(row, "language", path, p.task_id, false);
  if (p.language.empty()) p.language = "python";
  if (p.language == "javascript") p.language = "js";
  p.prompt = text_field(row, "prompt", path, p.task_id, true);
  p.test = text_field(row, "test", path, p.task_id, false);
  if (p.test.empty()) p.test = text_field(row, "tests", path, p.task_id, true);
  p.canonical_solution = text_field(row, "canonical_solution", path, p.task_id, false);
  if (auto it = row.find("stop_tokens"); it != row.end() && it->is_array())
    for (const Json& stop : *it)
      if (stop.is_string() && !stop.get_ref<const std::string&>().empty()) p.stop_tokens.push_back(stop.get<std::string>());
  p.entry_point = text_field(row, "entry_point", path, p.task_id, false);
  if (p.language == "python" && p.task_id.starts_with("Python/")) p.prelude = kMulPythonPrelude;
  if (const judge::Language* language = judge::find_language(p.language); language && p.entry_point.empty()) {
    p.entry_point = judge::find_entry_point(*language, p);
    if (p.entry_point.empty())
      throw input_error("judge", path, "task {} has no \"entry_point\", and none can be read from its prompt; add the field", p.task_id);
  }
  return p;
}

}  // namespace

namespace judge {

std::string prelude_for(const Problem& problem, std::string_view body) {
  const bool numpy = problem.prelude == kMulPythonPrelude && (body.find("np.") != std::string_view::npos || body.find("numpy") != std::string_view::npos);
  return numpy ? problem.prelude + std::string(kMulNumpy) : problem.prelude;
}

}  // namespace judge

std::vector<Problem> load_problems(const std::string& path) {
  std::vector<Problem> out;
  for (const Json& row : read_jsonl(path)) out.push_back(read_problem(row, path, out.size() + 1));
  if (out.empty()) throw input_error("judge", path, "holds no problems; expected JSON lines in HumanEval's form");
  return out;
}

std::vector<std::string> default_stops(std::string_view language) {
  const judge::Language* known = judge::find_language(language);
  return known ? known->stops : std::vector<std::string>{};
}

std::string cut_completion(std::string_view language, std::string_view completion, const std::vector<std::string>& extra_stops) {
  size_t end = completion.size();
  auto cut = [&](const std::vector<std::string>& stops) {
    for (const std::string& stop : stops)
      if (!stop.empty()) end = std::min(end, completion.find(stop));
  };
  cut(default_stops(language));
  cut(extra_stops);
  return std::string(completion.substr(0, end));
}

}  // namespace teeny
