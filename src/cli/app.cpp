#include "teeny/cli/app.h"

#include <algorithm>

#include "cli/app.h"
#include "cli/command.h"
#include "cli/signals.h"
#include "cli/text.h"
#include "teeny/core/error.h"
#include "teeny/core/version.h"

namespace teeny::cli {

// The table of commands, in the order of `teeny --help`.
const std::vector<CommandEntry>& command_table() {
  static const std::vector<CommandEntry> table{
      {"quantize", "Make a model smaller: GPTQ, AWQ, GGUF k-quants, int8, round to nearest.",
       {"teeny quantize --method awq --bits 4", "teeny quantize --model Qwen2.5-1.5B --method gguf --type Q4_K_M --out qwen.gguf",
        "teeny quantize --model Qwen2.5-1.5B --method gptq --bits 4 --calibration code.jsonl --dry-run"}, make_quantize},
      {"convert", "Write a model in another format; weights are unpacked and stored again, in a GGUF block type with its search.",
       {"teeny convert --model qwen.gguf --format safetensors --dtype f16 --out qwen-f16", "teeny convert --model qwen-gptq --format gguf --out qwen.gguf"}, make_convert},
      {"bench", "Measure prefill and decode speed, memory and energy; project them for other hardware with --hw.",
       {"teeny bench", "teeny bench --model qwen.gguf --prompt 512,2048 --batch 1,8", "teeny bench --hw rtx4090"}, make_bench},
      {"eval", "Measure quality: perplexity, KL divergence to a reference, HumanEval and HumanEval-Mul pass@k.",
       {"teeny eval --tasks ppl,demo-code", "teeny eval --model qwen-awq --reference Qwen2.5-1.5B --tasks ppl,kld,humaneval --results runs"}, make_eval},
      {"report", "Compare result records: one HTML page, Markdown, CSV and pictures.", {"teeny report runs --out report", "teeny report a.json b.json --comparison-type bits"}, make_report},
      {"generate", "Continue a prompt; only the text goes to standard output.",
       {"teeny generate --prompt 'def fibonacci(n):' --temperature 0", "cat prompt.txt | teeny generate --model qwen.gguf --chat --prompt -"}, make_generate},
      {"inspect", "Say what a model or file is: family, tensors, encodings, bits per weight, who can load it, warnings.",
       {"teeny inspect --model qwen.gguf", "teeny inspect --model qwen-gptq --verify"}, make_inspect},
      {"doctor", "Say what works on this machine, and what to do about the rest.", {"teeny doctor"}, make_doctor},
      {"completion", "Print a completion script for bash, zsh or fish.",
       {"teeny completion bash > ~/.local/share/bash-completion/completions/teeny", "teeny completion zsh > ~/.zfunc/_teeny"}, make_completion},
  };
  return table;
}

std::string version_text() {
  const VersionInfo v = version_info();
  return fmt::format("teeny {}\ngit {}\nlibtorch {}\nCUDA {}\nbuild {}, {}\n", v.version, v.git, v.libtorch.empty() ? "none (built without the engine)" : v.libtorch,
                     v.cuda.empty() ? "none (built for the CPU only)" : v.cuda, v.build, v.compiler);
}

std::string top_help(bool colour) {
  const auto bold = [&](const char* text) { return style(colour, kBold, text); };
  std::string out = bold("Examples:") +
                    "\n"
                    "  teeny quantize --method awq --bits 4              quantize the model that ships with teeny\n"
                    "  teeny eval --model teeny-demo-7m-awq-4bit --reference teeny-demo-7m --tasks ppl,kld\n"
                    "  teeny bench --hw rtx4090                          how fast would it be there?\n\n"
                    "teeny makes language models smaller and measures what that costs.\n\n" +
                    bold("Usage:") + " teeny COMMAND [options]\n\n" + bold("Commands:") + "\n";
  for (const auto& entry : command_table()) out += fmt::format("  {:<12}{}\n", entry.name, wrap(entry.summary, 14, terminal_width()));
  out += fmt::format("\n{}", bold("Options:"));
  out += "\n  -h, --help      this text; 'teeny COMMAND --help' for the options of a command\n"
         "  --version       versions of teeny, git, libtorch and CUDA\n\n";
  out += bold("Exit codes:") +
         " 0 done; 1 a bug in teeny; 2 usage; 3 bad input or unsupported request; 4 device, memory or disk;\n"
         "  5 a requested check failed; 130/143 interrupted\n";
  return out;
}

namespace {

const CommandEntry& find_command(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& entry : command_table()) {
    if (name == entry.name) return entry;
    names.push_back(entry.name);
  }
  if (name[0] == '-')
    throw usage_error("usage", name, "stands before the command; write 'teeny COMMAND [options]', or 'teeny --help'");
  const std::string near = nearest(name, names);
  throw usage_error("usage", name, "is not a command of teeny ({}){}", fmt::join(names, ", "), near.empty() ? std::string("; see 'teeny --help'") : fmt::format("; did you mean {}?", near));
}

int dispatch(const std::vector<std::string>& args, Engine* engine) {
  if (args.size() < 2) throw usage_error("usage", "teeny", "no command given; see 'teeny --help'");
  const std::string& first = args[1];
  if (first == "--version") return write_stdout(version_text()), 0;
  if (first == "--help" || first == "-h" || (first == "help" && args.size() == 2)) return write_stdout(top_help(use_colour("auto", 1))), 0;
  const bool help = first == "help";
  Declared declared = declare(find_command(help ? args[2] : first));
  const std::vector<std::string> rest(args.begin() + 2, args.end());
  if (help) return write_stdout(declared.options->help(use_colour("auto", 1))), 0;
  try {
    declared.options->parse(rest);
  } catch (const HelpRequested&) {
    return write_stdout(declared.options->help(use_colour("auto", 1))), 0;
  }
  refuse_unavailable(*declared.options);
  Session session(*declared.common, args, engine);
  return declared.command->run(*declared.options, session);
}

// For colour of messages before (or without) a successful parse.
std::string colour_policy(const std::vector<std::string>& args) {
  for (size_t i = 1; i < args.size(); ++i) {
    if (args[i].rfind("--color=", 0) == 0) return args[i].substr(8);
    if (args[i] == "--color" && i + 1 < args.size()) return args[i + 1];
  }
  return "auto";
}

}  // namespace

int run(int argc, const char* const* argv, Engine* engine) {
  const std::vector<std::string> args(argv, argv + argc);
  try {
    return dispatch(args, engine);
  } catch (const ClosedPipe&) {
    return 0;
  } catch (...) {
    std::string message;
    const bool resumable = args.size() > 1 && resume_available(args[1]);
    const int code = explain(std::current_exception(), args, resumable, message);
    if (!message.empty()) write_stderr(fmt::format("{} {}\n", style(use_colour(colour_policy(args), 2), kRed, "teeny:"), message));
    return code;
  }
}

int run(int argc, char** argv) {
  install_signal_handlers();
  return run(argc, argv, nullptr);
}

}  // namespace teeny::cli
