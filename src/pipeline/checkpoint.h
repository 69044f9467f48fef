// Checkpoints of a block loop, in "<output>.resume/": what every finished block wrote, the hidden states after the last,
// and a journal that says for which source, options and calibration. Gone when the output is complete.
#pragma once
#include <chrono>
#include <memory>
#include <optional>

#include "pipeline/output.h"
#include "teeny/calib/collect.h"

namespace teeny {

struct CheckpointState {
  int64_t blocks = 0;  // finished
  Json tensors = Json::array(), fallbacks = Json::array(), seconds = Json::object();
};

class Checkpoint {
 public:
  // `key`: whatever decides a byte of the output. Without `resume` an older checkpoint is removed.
  Checkpoint(const std::string& output, std::string key, bool resume, Context& context);

  // What a former run left: nothing when there is none or resume was not asked for. Usage error when its key differs.
  std::optional<CheckpointState> load();
  void replay(Output& output) const;      // what the loaded blocks wrote
  HiddenStates load_hidden() const;

  void begin_block(Output& output, int64_t block);  // from here on, what goes to the output is kept too
  // Closes the block. Hidden states are written only when they do not slow the run by more than a tenth.
  void end_block(Output& output, const CheckpointState& state, const HiddenStates& hidden);
  void remove() const { discard(directory_); }

  static std::string directory_of(const std::string& output);  // "<output>.resume"
  static void discard(const std::string& directory);           // files of checkpoints only, then the folder if it is empty

 private:
  std::string path(const std::string& name) const { return path_join(directory_, name); }
  void save(const CheckpointState& state, const HiddenStates& hidden);
  void give_up(const std::string& why);

  std::string directory_, key_;
  bool resume_, usable_ = true;
  Context& context_;
  std::unique_ptr<OutputFile> block_;
  CheckpointState loaded_;
  std::string hidden_name_;
  std::chrono::steady_clock::time_point last_ = {};
  double cost_ = 0;  // seconds the last save took
};

}  // namespace teeny
