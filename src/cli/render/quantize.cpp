#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "cli/output.h"
#include "cli/render.h"
#include "cli/text.h"
#include "teeny/core/file.h"

namespace teeny::cli {
namespace {

std::string line(const char* label, const std::string& text) { return fmt::format("  {:<22}{}\n", label, text); }

std::string describe_model(const Json& model) {
  std::string text = text_at(model, {"method"}, text_at(model, {"format"}));
  if (const auto type = text_at(model, {"type"}); !type.empty()) text += ", " + type;
  if (find(model, {"bits"})) text += fmt::format(", {:g} bits", number_at(model, {"bits"}, 0));
  if (const double group = number_at(model, {"group"}, 0); group != 0) text += group < 0 ? ", one scale a row" : fmt::format(", group {:g}", group);
  if (const Json* symmetric = find(model, {"symmetric"}); symmetric && symmetric->is_boolean()) text += symmetric->get<bool>() ? ", symmetric" : ", asymmetric";
  if (number_at(model, {"act_bits"}, 16) == 8) text += ", activations 8 bits";
  if (const auto format = text_at(model, {"format"}); !format.empty() && format != text_at(model, {"method"})) text += ", format " + format;
  return text;
}

std::string size_line(const Json& record, const Json& section) {
  const double bytes = number_at(record, {"model", "bytes"}, -1), before = number_at(section, {"source", "bytes"}, -1);
  if (bytes < 0) return "";
  std::string text = human_bytes(uint64_t(bytes));
  if (before > 0) text += fmt::format(" (was {}: {:+.1f} %)", human_bytes(uint64_t(before)), (bytes / before - 1) * 100);
  return line("size", text);
}

// Mean over the tensors that were quantized; the worst ones by name.
std::string error_lines(const Json& tensors) {
  std::vector<const Json*> measured;
  double sum = 0;
  for (const auto& tensor : tensors)
    if (const double error = number_at(tensor, {"relative_error"}, -1); error > 0) measured.push_back(&tensor), sum += error;
  if (measured.empty()) return "";
  std::string out = line("mean relative error", fmt::format("{} over {} quantized tensors", significant(sum / double(measured.size())), measured.size()));
  std::stable_sort(measured.begin(), measured.end(), [](const Json* a, const Json* b) { return number_at(*a, {"relative_error"}, 0) > number_at(*b, {"relative_error"}, 0); });
  Table table({"worst tensors", "encoding", "bytes", "relative error", "SQNR"});
  for (size_t i = 0; i < std::min<size_t>(5, measured.size()); ++i) {
    const Json& tensor = *measured[i];
    const Json* sqnr = find(tensor, {"sqnr_db"});
    table.add({text_at(tensor, {"name"}), text_at(tensor, {"encoding"}), thousands(int64_t(number_at(tensor, {"bytes"}, 0))),
               significant(number_at(tensor, {"relative_error"}, 0)), sqnr ? fmt::format("{:.1f} dB", sqnr->get<double>()) : "-"});
  }
  return out + "\n" + table.str() + "\n";
}

std::string plan_lines(const Json& section) {
  Table table({"tensor", "encoding", "bytes", "bits per weight"});
  if (const Json* tensors = find(section, {"tensors"}))
    for (const auto& tensor : *tensors) {
      double weights = 1;
      if (const Json* shape = find(tensor, {"shape"}))
        for (const auto& size : *shape) weights *= size.get<double>();
      const double bytes = number_at(tensor, {"bytes"}, 0);
      table.add({text_at(tensor, {"name"}), text_at(tensor, {"encoding"}), thousands(int64_t(bytes)), fmt::format("{:.3f}", 8 * bytes / weights)});
    }
  return table.empty() ? "" : table.str() + "\n";
}

std::string plan_summary(const Json& section) {
  std::string out;
  if (const double memory = number_at(section, {"plan", "working_bytes"}, 0); memory > 0) out += line("memory", "about " + human_bytes(uint64_t(memory)));
  if (const double seconds = number_at(section, {"plan", "expected_seconds"}, 0); seconds > 0) out += line("time", "about " + duration(seconds) + ", as fast as this machine is now");
  if (const auto text = text_at(section, {"plan", "calibration"}); !text.empty()) out += line("calibration", text == "self" ? "text that the model writes itself" : text);
  if (const Json* runtimes = find(section, {"plan", "runtimes"}))
    for (const auto& [name, answer] : runtimes->items()) out += line(("loads in " + name).c_str(), answer.is_string() ? answer.get<std::string>() : answer.dump());
  return out;
}

// What is asked of mixed precision, expected and found.
std::string mix_lines(const Json& section) {
  const Json* mix = find(section, {"mix"});
  if (!mix) return "";
  std::string out = line("target", text_at(*mix, {"target"}));
  const auto percent_of = [&](const char* key) { return fmt::format("{} %", significant(100 * number_at(*mix, {key}, 0), 3)); };
  if (find(*mix, {"predicted_kld"}))
    out += line("expected loss", fmt::format("KLD {}, perplexity +{}", significant(number_at(*mix, {"predicted_kld"}, 0), 3), percent_of("predicted_ppl_increase")));
  if (find(*mix, {"measured_kld"}))
    out += line("loss on held-back text", fmt::format("KLD {}, perplexity {}{} ({} tokens)", significant(number_at(*mix, {"measured_kld"}, 0), 3),
                                                      number_at(*mix, {"measured_ppl_increase"}, 0) < 0 ? "" : "+", percent_of("measured_ppl_increase"), thousands(int64_t(number_at(*mix, {"measured_tokens"}, 0)))));
  const Json* measuring = find(*mix, {"measuring"});
  if (!measuring) return out;
  constexpr double rate = 15e9;  // f32 operations a second of one core, a cautious figure
  out += line("first to be measured", fmt::format("{} runs of {} held-back tokens: about {} of one core", thousands(int64_t(number_at(*measuring, {"runs"}, 0))),
                                                   thousands(int64_t(number_at(*measuring, {"tokens"}, 0))), duration(number_at(*measuring, {"flops"}, 0) / rate)));
  if (const Json* reach = find(*mix, {"reachable_bits_per_weight"}); reach && reach->size() == 2)
    out += line("within reach", fmt::format("{:.3f} to {:.3f} bits per weight; which, the sensitivities decide (--sensitivity FILE)", (*reach)[0].get<double>(), (*reach)[1].get<double>()));
  return out;
}

// The encodings of a mix and what they hold.
std::string mix_table(const Json& section) {
  if (!find(section, {"mix"})) return "";
  std::vector<std::pair<std::string, std::pair<double, double>>> sums;  // encoding -> tensors, weights
  const Json* tensors = find(section, {"tensors"});
  double all = 0;
  for (const auto& tensor : tensors ? *tensors : Json::array()) {
    const Json* shape = find(tensor, {"shape"});
    if (!shape || shape->size() != 2) continue;
    const std::string name = text_at(tensor, {"encoding"});
    auto at = std::find_if(sums.begin(), sums.end(), [&](const auto& s) { return s.first == name; });
    if (at == sums.end()) at = sums.insert(sums.end(), {name, {0, 0}});
    const double weights = (*shape)[0].get<double>() * (*shape)[1].get<double>();
    at->second.first += 1, at->second.second += weights, all += weights;
  }
  std::sort(sums.begin(), sums.end(), [](const auto& a, const auto& b) { return a.second.second > b.second.second; });
  Table table({"encoding", "tensors", "of the weights"});
  for (const auto& [name, sum] : sums) table.add({name, fmt::format("{:g}", sum.first), percent(sum.second / all)});
  return table.empty() ? "" : "\n" + table.str() + "\n";
}

std::string time_line(const Json& record, const Json& section) {
  std::string text = duration(number_at(record, {"seconds"}, 0));
  std::string phases;
  if (const Json* by_phase = find(section, {"seconds_by_phase"}); by_phase && by_phase->is_object())
    for (const auto& [name, seconds] : by_phase->items())
      if (seconds.is_number()) phases += fmt::format("{}{} {}", phases.empty() ? "" : ", ", name, duration(seconds.get<double>()));
  return line("time", phases.empty() ? text : text + " (" + phases + ")");
}

std::string calibration_line(const Json& section) {
  const Json* calibration = find(section, {"calibration"});
  if (!calibration || !calibration->is_object()) return "";
  return line("calibration", fmt::format("{}: {} samples, {} tokens", text_at(*calibration, {"source"}), thousands(int64_t(number_at(*calibration, {"samples"}, 0))),
                                         thousands(int64_t(number_at(*calibration, {"tokens"}, 0)))));
}

std::string fallback_lines(const Json& section) {
  const Json* fallbacks = find(section, {"fallbacks"});
  if (!fallbacks || fallbacks->empty()) return "";
  std::string out = line("stored otherwise", fmt::format("{} tensors", fallbacks->size()));
  for (size_t i = 0; i < std::min<size_t>(5, fallbacks->size()); ++i)
    out += fmt::format("    {}: {}\n", text_at((*fallbacks)[i], {"name"}), text_at((*fallbacks)[i], {"reason"}));
  return out;
}

}  // namespace

std::string render_quantize(const Json& record, bool colour) {
  const Json empty = Json::object();
  const Json* found = find(record, {text_at(record, {"command"}).c_str()});
  const Json& section = found ? *found : empty;
  const Json* model = find(record, {"model"});
  const bool dry_run = find(section, {"dry_run"}) && section["dry_run"] == true;
  std::string out = style(colour, kBold, text_at(record, {"model", "name"}, "model")) + "  " + describe_model(model ? *model : empty) + "\n";
  const bool open = find(section, {"mix", "measuring"}) != nullptr;  // what is planned depends on sensitivities that are not there yet
  if (dry_run) out += fmt::format("  plan only: nothing was written (--dry-run)\n\n{}", open ? "" : plan_lines(section));
  out += size_line(record, section);
  if (const double bits = number_at(record, {"model", "bits_per_weight"}, -1); bits >= 0) out += line("bits per weight", fmt::format("{:.3f}", bits));
  out += mix_lines(section) + calibration_line(section);
  if (dry_run) {
    if (!open) out += mix_table(section);
    out += plan_summary(section) + fallback_lines(section) + line("output would be", text_at(record, {"model", "path"}));
  } else {
    out += mix_table(section);
    if (const Json* tensors = find(section, {"tensors"})) out += error_lines(*tensors);
    out += fallback_lines(section) + time_line(record, section);
    if (const double peak = number_at(section, {"peak_host_bytes"}, 0); peak > 0) {
      const double device = number_at(section, {"peak_device_bytes"}, 0);
      out += line("peak memory", human_bytes(uint64_t(peak)) + " host" + (device > 0 ? ", " + human_bytes(uint64_t(device)) + " device" : ""));
    }
    out += line("output", text_at(record, {"model", "path"}));
  }
  return out;
}

}  // namespace teeny::cli
