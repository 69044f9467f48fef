#include "teeny/calib/calibration.h"

#include <algorithm>
#include <numeric>

#include "teeny/core/error.h"
#include "teeny/core/file.h"
#include "teeny/text/dataset.h"

namespace teeny {
namespace {

// Fisher-Yates with SplitMix64: the same order on every platform, which std::shuffle does not promise.
std::vector<size_t> shuffled(size_t n, uint64_t seed) {
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t(0));
  uint64_t state = seed;
  for (size_t i = n; i > 1; --i) {
    uint64_t z = (state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    std::swap(order[i - 1], order[(z ^ (z >> 31)) % i]);
  }
  return order;
}

std::string text_of(const Json& line, const ChatTemplate* chat, std::string_view subject, size_t number) {
  for (const char* key : {"text", "content"})
    if (line.contains(key) && line[key].is_string()) return line[key].get<std::string>() + "\n";
  if (!line.contains("messages") || !line["messages"].is_array())
    throw input_error("calibration", subject, "line {} has neither \"text\" nor \"messages\"", number + 1);
  std::vector<ChatMessage> messages;
  for (const auto& m : line["messages"]) {
    if (!m.is_object() || !m.value("role", Json()).is_string() || !m.value("content", Json()).is_string())
      throw input_error("calibration", subject, "line {}: a message needs string fields role and content", number + 1);
    messages.push_back({m["role"], m["content"]});
  }
  if (!chat) throw input_error("calibration", subject, "line {} has messages, but the model has no chat template; give plain \"text\" lines", number + 1);
  return chat->render(messages, false);
}

}  // namespace

int64_t Calibration::tokens() const {
  int64_t n = 0;
  for (const auto& window : windows) n += int64_t(window.size());
  return n;
}

Json Calibration::json() const {
  return {{"source", source}, {"sha256", sha256}, {"samples", windows.size()}, {"tokens", tokens()}, {"template", template_name.empty() ? Json() : Json(template_name)}, {"seed", seed},
          {"seq_len", seq_len}, {"source_tokens", source_tokens}, {"documents", documents > 0 ? Json(documents) : Json()}, {"truncated", documents > 0 ? Json(truncated) : Json()}};
}

Calibration load_calibration(const CalibrationRequest& request, const Tokenizer& tokenizer, const ChatTemplate* chat, Context& context) {
  Calibration result;
  result.source = request.path;
  result.seed = request.seed;
  result.seq_len = request.seq_len;
  result.sha256 = sha256_file(request.path);
  std::vector<int32_t> ids;
  if (is_jsonl(request.path)) {
    const auto lines = read_jsonl(request.path);
    for (size_t i = 0; i < lines.size(); ++i) {
      if (lines[i].contains("messages") && chat) result.template_name = chat->name();
      const auto more = tokenizer.encode(text_of(lines[i], chat, request.path, i));
      ids.insert(ids.end(), more.begin(), more.end());
      ++result.documents, result.truncated += int64_t(more.size()) > request.seq_len;
    }
  } else {
    ids = tokenizer.encode(read_text(request.path));
  }
  result.source_tokens = int64_t(ids.size());
  if (ids.size() < 2) throw input_error("calibration", request.path, "holds {} tokens; give more text", ids.size());
  const size_t length = size_t(request.seq_len), whole = ids.size() / length;
  std::vector<std::vector<int32_t>> all;
  for (size_t i = 0; i < whole; ++i) all.emplace_back(ids.begin() + int64_t(i * length), ids.begin() + int64_t((i + 1) * length));
  if (whole < size_t(request.samples)) {
    if (ids.size() % length > 1) all.emplace_back(ids.begin() + int64_t(whole * length), ids.end());
    context.warn("calibration-short", fmt::format("{}: {} tokens give {} windows of {}, {} were asked for; all are used. More text makes the statistics steadier",
                                                  request.path, ids.size(), all.size(), length, request.samples));
  }
  const auto order = shuffled(all.size(), request.seed);
  for (size_t i = 0; i < std::min(all.size(), size_t(request.samples)); ++i) result.windows.push_back(std::move(all[order[i]]));
  return result;
}

}  // namespace teeny
