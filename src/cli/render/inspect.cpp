#include <fmt/format.h>

#include "cli/output.h"
#include "cli/render.h"
#include "cli/text.h"
#include "teeny/core/file.h"
#include "teeny/core/log.h"

namespace teeny::cli {
namespace {

std::string line(const char* label, const std::string& text) { return fmt::format("  {:<18}{}\n", label, text); }

std::string whole(const Json& json, const char* key) { return thousands(int64_t(number_at(json, {key}, 0))); }

std::string spec_lines(const Json& spec) {
  std::string out = line("shape", fmt::format("{} layers, hidden {}, intermediate {}, {} heads ({} of keys and values), head size {}", whole(spec, "layers"), whole(spec, "hidden"),
                                              whole(spec, "intermediate"), whole(spec, "heads"), whole(spec, "kv_heads"), whole(spec, "head_dim")));
  out += line("vocabulary", whole(spec, "vocab") + (spec.value("tied_head", false) ? ", head tied to the embedding" : ""));
  return out + line("context", whole(spec, "context") + " tokens");
}

std::string encoding_table(const Json& encodings) {
  Table table({"encoding", "tensors", "weights", "bytes", "bits per weight"});
  for (const auto& [name, use] : encodings.items()) {
    const double bits = number_at(use, {"bits_per_weight"}, -1);
    table.add({name, whole(use, "tensors"), whole(use, "weights"), whole(use, "bytes"), bits < 0 ? "-" : fmt::format("{:.3f}", bits)});
  }
  return table.empty() ? "" : fmt::format("\n{}", table.str());
}

std::string loader_table(const Json& loaders) {
  Table table({"runtime", "loads it", ""});
  for (const auto& loader : loaders) table.add({text_at(loader, {"runtime"}), text_at(loader, {"loads"}), text_at(loader, {"why"})});
  return table.empty() ? "" : fmt::format("\n{}", table.str());
}

std::string tensor_table(const Json& tensors) {
  Table table({"tensor", "dtype", "shape", "bytes"});
  for (const auto& tensor : tensors) {
    std::string shape;
    for (const auto& size : tensor["shape"]) shape += fmt::format("{}{}", shape.empty() ? "" : " x ", size.dump());
    table.add({text_at(tensor, {"name"}), text_at(tensor, {"dtype"}), shape, whole(tensor, "bytes")});
  }
  return fmt::format("\n{}", table.str());
}

}  // namespace

std::string render_inspect(const Json& record, bool colour, bool list_tensors) {
  const Json& model = record.at("model");
  const Json& inspect = record.at("inspect");
  std::string out = style(colour, kBold, text_at(model, {"name"})) + "  " + text_at(model, {"path"}) + "\n";
  out += line("family", text_at(model, {"family"}, "not known") + (find(inspect, {"spec", "class"}) ? fmt::format(" ({})", text_at(inspect, {"spec", "class"})) : ""));
  if (const Json* spec = find(inspect, {"spec"})) out += spec_lines(*spec);
  out += line("parameters", whole(model, "parameters"));
  out += line("format", text_at(model, {"format"}) + (find(model, {"type"}) ? fmt::format(", mostly {}", text_at(model, {"type"})) : "") +
                            (find(model, {"method"}) ? fmt::format(", quantized by {}", text_at(model, {"method"})) : ""));
  out += line("size", fmt::format("{}, {:.3f} bits per weight", human_bytes(uint64_t(number_at(model, {"bytes"}, 0))), number_at(model, {"bits_per_weight"}, 0)));
  if (const Json* tokenizer = find(inspect, {"metadata", "tokenizer"}))
    out += line("tokenizer", fmt::format("{}, {} tokens, {} merges", text_at(*tokenizer, {"kind"}), whole(*tokenizer, "tokens"), whole(*tokenizer, "merges")));
  if (inspect.contains("metadata") && inspect["metadata"].contains("chat_template")) out += line("chat template", text_at(inspect, {"metadata", "chat_template"}, "none"));
  if (find(model, {"sha256"})) out += line("sha256", text_at(model, {"sha256"}));
  if (const Json* encodings = find(inspect, {"encodings"})) out += encoding_table(*encodings);
  if (const Json* loaders = find(inspect, {"loaders"})) out += loader_table(*loaders);
  if (list_tensors) out += tensor_table(inspect["tensors"]);
  if (const Json* verify = find(inspect, {"verify"}); verify && verify->is_object()) {
    out += "\n  verified\n";
    for (const auto& [key, value] : verify->items())
      if (value.is_number()) out += fmt::format("    {}: {}\n", key, thousands(value.get<int64_t>()));
    if (const Json* problems = find(*verify, {"problems"})) {
      out += fmt::format("    problems: {}\n", problems->size());
      for (const auto& problem : *problems) out += fmt::format("      {}: {}\n", printable(text_at(problem, {"tensor"})), printable(text_at(problem, {"problem"})));
    }
  }
  return out;
}

}  // namespace teeny::cli
