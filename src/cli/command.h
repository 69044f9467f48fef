// A subcommand: declares its options, then runs. Session is what a running command is handed.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/output.h"
#include "teeny/core/engine.h"

namespace teeny::cli {

class Session {
 public:
  Session(CommonChoices common, std::vector<std::string> args, Engine* injected);
  ~Session();

  Engine& engine();  // opened on the first call
  Context& context() { return context_; }
  const CommonChoices& common() const { return common_; }
  const std::vector<std::string>& args() const { return args_; }  // the command line, program name first
  bool colour() const { return colour_; }
  bool json_to_stdout() const { return common_.json == "-"; }

  // Fills the fields that every command shares: args, model (resolved), hash, isa ...
  void check_destinations() const;  // --json and --results can be written
  // Ends a command: CO2, --json, --results, then the text for people on stdout (not with --json -). Returns the exit
  // code: 5 when the record says that a requested check failed.
  int deliver(Json record, const std::function<std::string(const Json&)>& render);
  std::string keep(const Json& record) const;  // into --results; the path, empty without --results

 private:
  CommonChoices common_;
  std::vector<std::string> args_;
  Engine* engine_ = nullptr;
  bool colour_ = false;
  std::unique_ptr<ProgressBar> bar_;
  std::unique_ptr<Log> log_;
  Context context_;
};

class Command {
 public:
  virtual ~Command() = default;
  virtual void setup(Options& options) = 0;
  virtual int run(Options& options, Session& session) = 0;
};

// One line of the table of commands (app.cpp). To add a command: a file in commands/, a declaration here, a line there.
struct CommandEntry {
  const char* name;
  const char* summary;
  std::vector<std::string> examples;
  std::unique_ptr<Command> (*make)();
};
const std::vector<CommandEntry>& command_table();

std::unique_ptr<Command> make_quantize();
std::unique_ptr<Command> make_convert();
std::unique_ptr<Command> make_bench();
std::unique_ptr<Command> make_eval();
std::unique_ptr<Command> make_report();
std::unique_ptr<Command> make_generate();
std::unique_ptr<Command> make_inspect();
std::unique_ptr<Command> make_doctor();
std::unique_ptr<Command> make_completion();

// Declares the options of one command, its own and the common ones.
struct Declared {
  std::unique_ptr<Command> command;
  std::unique_ptr<CommonChoices> common;
  std::unique_ptr<Options> options;
};
Declared declare(const CommandEntry& entry);

void add_common_options(Options& options, CommonChoices& common);
inline constexpr const char* kModelHelp =
    "Hugging Face directory, .safetensors or .gguf file, hub id (org/name[@revision][:file]), or the name of a shipped model; left out: teeny-demo-7m";
void add_model_option(Options& options, CommonOptions& target);
void add_activation_option(Options& options, int& act_bits);         // --act-bits of commands that run a model
void add_device_options(Options& options, CommonOptions& target);  // --isa, --gpu-layers, --tensor-parallel, --hash
// Throws Input for an option that this version knows but cannot do yet (unavailable.cpp holds the table).
void refuse_unavailable(const Options& options);
bool resume_available(const std::string& command);

}  // namespace teeny::cli
