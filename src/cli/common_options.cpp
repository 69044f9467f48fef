#include "cli/command.h"

namespace teeny::cli {

void add_common_options(Options& options, CommonChoices& common) {
  options.group("Results and messages");
  options.text({"--json"}, common.json, "FILE|-", "write the result record there; - is standard output, and nothing else goes there then", Takes::File);
  options.text({"--results"}, common.results, "DIR", "keep the result record in this directory, for 'teeny report'", Takes::Directory);
  options.number({"--carbon-intensity"}, common.carbon_intensity, 0, 5000, "grams of CO2 per kWh of your electricity; adds co2_g to the record")
      .shown_default.clear();
  options.flag({"--quiet"}, common.quiet, "no progress and no log but errors");
  options.flag({"-v", "--verbose"}, common.verbose, "log details (same as --log-level debug)");
  options.choice({"--log-level"}, common.log_level, {"debug", "info", "warn", "error", "off"}, "what is logged to standard error");
  options.flag({"--no-progress"}, common.no_progress, "no progress bar");
  options.choice({"--color"}, common.color, {"auto", "always", "never"}, "colour; auto: on terminals, unless NO_COLOR is set");
  options.group("Machine");
  options.text({"--device"}, common.device, "DEVICE", "cpu, cuda or cuda:N; auto: the first GPU where there is one, else cpu");
  options.integer({"--threads"}, common.threads, 0, 4096, "CPU threads; 0: every core this process may use");
  options.integer({"--seed"}, common.seed, "of everything that is drawn at random");
}

void add_model_option(Options& options, CommonOptions& target) {
  options.text({"--model"}, target.model, "MODEL", kModelHelp, Takes::File);
}

void add_activation_option(Options& options, int& act_bits) {
  options.group("Activations");
  auto& option = options.integer({"--act-bits"}, act_bits, 8, 16, "run LLM.int8 with int8 activations, outliers apart, as bitsandbytes does (8); run any checkpoint with weights only (16)");
  option.choices = {"8", "16"};
  option.shown_default = "W8A8: 8, others: 16";
}

void add_device_options(Options& options, CommonOptions& target) {
  options.group("Machine");
  options.text({"--gpu-layers"}, target.gpu_layers, "N|all|auto", "layers whose weights the GPU holds; the others stay in host memory, read over the bus");
  options.integer({"--tensor-parallel"}, target.tensor_parallel, 1, 64, "GPUs that share every layer");
  options.text({"--isa"}, target.isa, "NAME", "force an instruction set of the CPU kernels: scalar, avx2, avx512, amx").shown_default = "the best there is";
  options.flag({"--hash"}, target.hash, "put the sha256 of the model's files into the record");
}

Declared declare(const CommandEntry& entry) {
  Declared made{entry.make(), std::make_unique<CommonChoices>(), std::make_unique<Options>(entry.name, entry.summary, entry.examples)};
  made.command->setup(*made.options);
  add_common_options(*made.options, *made.common);
  return made;
}

}  // namespace teeny::cli
