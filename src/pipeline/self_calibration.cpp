#include "pipeline/self_calibration.h"

#include <algorithm>

#include "teeny/core/error.h"
#include "teeny/family/tokenizer_source.h"
#include "teeny/runtime/runner.h"

namespace teeny {
namespace {

constexpr uint64_t kCacheBytes = 512ull << 20;  // of keys and values in a lane, at most
constexpr int64_t kMostSequences = 32;        // at once in a lane
constexpr int64_t kMostRounds = 64;
constexpr const char* kPlaceOfTheUser = "\x1f";  // stands in no template

struct Document {
  std::string text;
  bool cut = false;  // it was longer than a sample
};

class Author {
 public:
  Author(Runner& runner, const ChatTemplate* chat, const QuantizeOptions& options, Context& context)
      : runner_(runner), chat_(chat), options_(options), context_(context) {
    const auto& spec = runner.spec();
    const uint64_t a_sequence = uint64_t(spec.layers) * 2 * uint64_t(spec.kv_heads * spec.head_dim) * 4 * uint64_t(2 * options.seq_len);
    batch_ = std::clamp<int64_t>(int64_t(kCacheBytes / std::max<uint64_t>(1, a_sequence)), 1, kMostSequences);
  }

  std::vector<Document> plain(int64_t count) {
    const auto written = generate(std::vector(size_t(count), start()), options_.seq_len, ends());
    std::vector<Document> out;
    for (const auto& document : written)
      if (!document.ids.empty()) out.push_back({runner_.tokenizer().decode(document.ids, /*skip_special=*/false) + "\n", document.finish == "length"});
    return out;
  }

  // Conversations of one turn each; those in which the user says nothing are left out.
  std::vector<Document> conversations(int64_t count) {
    const std::string opening = chat_->render({{"user", kPlaceOfTheUser}}, false);
    const auto asked = generate(std::vector(size_t(count), runner_.tokenizer().encode(opening.substr(0, opening.find(kPlaceOfTheUser)))), std::max<int64_t>(1, options_.seq_len / 2), {});
    std::vector<std::string> questions;
    for (const auto& turn : asked)
      if (turn.text.find_first_not_of(" \t\r\n") != std::string::npos) questions.push_back(turn.text);
    std::vector<std::vector<int32_t>> prompts;
    for (const auto& question : questions) prompts.push_back(runner_.tokenizer().encode(chat_->render({{"user", question}}, true)));
    const auto answers = generate(prompts, options_.seq_len, {});
    std::vector<Document> out;
    for (size_t i = 0; i < answers.size(); ++i) out.push_back({chat_->render({{"user", questions[i]}, {"assistant", answers[i].text}}, false), answers[i].finish == "length"});
    return out;
  }

 private:
  // BOS; where there is none, an end-of-generation token, which then parts documents.
  std::vector<int32_t> start() const {
    const auto& spec = runner_.spec();
    if (spec.bos >= 0 && spec.bos < spec.vocab) return {int32_t(spec.bos)};
    for (const int64_t eos : spec.eos)
      if (eos >= 0 && eos < spec.vocab) return {int32_t(eos)};
    return runner_.tokenizer().encode("\n");
  }

  // What ends a document of plain text: the start of the next, and what ends generation without being a turn's end in chat.
  std::vector<int64_t> ends() const {
    const auto talk = chat_ ? runner_.tokenizer().encode(chat_->render({{"user", "x"}, {"assistant", "x"}}, false)) : std::vector<int32_t>();
    std::vector<int64_t> out;
    if (runner_.spec().bos >= 0) out.push_back(runner_.spec().bos);
    for (const int64_t eos : runner_.spec().eos)
      if (std::find(talk.begin(), talk.end(), int32_t(eos)) == talk.end()) out.push_back(eos);
    return out;
  }

  std::vector<Completion> generate(const std::vector<std::vector<int32_t>>& prompts, int64_t length, std::vector<int64_t> ends) {
    GenerateParams params;
    params.ends = std::move(ends);
    params.max_new_tokens = length;
    params.temperature = 1;
    params.seed = context_.seed;
    params.batch = std::min<int64_t>(batch_, int64_t(prompts.size()));
    params.one_thread_a_lane = true;
    for (size_t i = 0; i < prompts.size(); ++i) params.keys.push_back(next_key_++);
    return runner_.generate(prompts, params, context_);
  }

  Runner& runner_;
  const ChatTemplate* chat_;
  const QuantizeOptions& options_;
  Context& context_;
  int64_t batch_ = 1;
  uint64_t next_key_ = 0;
};

// Documents end to end, until `windows` of them are full; more are asked for as their mean length says. They are encoded as a
// text from a file would be: the tokens that were drawn need not be those into which the same text is split.
template <class Write>
void pack(Calibration& into, const Runner& runner, int64_t windows, int64_t length, const Write& write) {
  std::string text;
  std::vector<int32_t> ids;
  int64_t documents = 0;
  const int64_t wanted = windows * length;
  for (int64_t round = 0; int64_t(ids.size()) < wanted && round < kMostRounds; ++round) {
    const int64_t mean = documents > 0 ? std::max<int64_t>(1, int64_t(ids.size()) / documents) : length;
    for (const auto& document : write(std::max<int64_t>(1, (wanted - int64_t(ids.size()) + mean - 1) / mean))) {
      text += document.text;
      ++documents, into.truncated += document.cut;
    }
    ids = runner.tokenizer().encode(text);
    std::erase(ids, int32_t(runner.spec().bos));
  }
  for (int64_t i = 0; i < windows && (i + 1) * length <= int64_t(ids.size()); ++i)
    into.windows.emplace_back(ids.begin() + i * length, ids.begin() + (i + 1) * length);
  into.documents += documents;
  into.source_tokens += int64_t(ids.size());
}

}  // namespace

Calibration write_calibration(const TensorSource& source, const QuantizeOptions& options, Context& context) {
  const auto runner = load_runner(open_source(source.path()), context, {.act_bits = 16});
  const auto chat = load_chat_template(source);
  Calibration result;
  result.source = "self";
  result.seed = context.seed;
  result.seq_len = options.seq_len;
  if (chat) result.template_name = chat->name();
  Author author(*runner, chat.get(), options, context);
  const int64_t talks = chat ? options.samples / 2 : 0;
  pack(result, *runner, options.samples - talks, options.seq_len, [&](int64_t count) { return author.plain(count); });
  const size_t plain = result.windows.size();
  if (talks > 0) pack(result, *runner, talks, options.seq_len, [&](int64_t count) { return author.conversations(count); });
  if (result.windows.empty()) throw input_error("calibration", source.path(), "the model writes nothing: every text that was begun ended at once; pass --calibration FILE");
  if (int64_t(result.windows.size()) < options.samples)
    context.warn("calibration-short", fmt::format("{}: the model ends its texts so early that only {} windows of {} were filled; pass --calibration FILE", source.path(), result.windows.size(), options.seq_len));
  // Kinds take turns like p c c p, so that of both kinds as much is in the even windows as in the odd ones: the halves by
  // which the statistics' steadiness is judged.
  std::vector<std::vector<int32_t>> mixed;
  const auto take = [&](size_t at, size_t end) {
    if (at < end) mixed.push_back(std::move(result.windows[at]));
  };
  for (size_t i = 0; i < plain || plain + i < result.windows.size(); ++i) {
    if (i % 2 == 0) take(i, plain);
    take(plain + i, result.windows.size());
    if (i % 2 == 1) take(i, plain);
  }
  result.windows = std::move(mixed);
  std::string bytes;
  for (const auto& window : result.windows) bytes.append(reinterpret_cast<const char*>(window.data()), window.size() * sizeof(int32_t));
  result.sha256 = sha256_hex(bytes);
  return result;
}

}  // namespace teeny
