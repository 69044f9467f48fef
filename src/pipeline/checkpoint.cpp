#include "pipeline/checkpoint.h"

#include <filesystem>

#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny {
namespace fs = std::filesystem;
namespace {

constexpr const char* kJournal = "journal.json";
constexpr const char* kSchema = "teeny.resume/2";
constexpr uint64_t kMaxName = 4096, kMaxWindows = uint64_t(1) << 32;
constexpr double kShare = 0.1;  // of the run's time that saving may take
constexpr double kBytesASecond = 1e9;  // that a first save is guessed to write
constexpr uint64_t kFloat32 = 0, kBf16 = 1;  // what hidden states are stored as

std::string block_name(int64_t block) { return fmt::format("block-{:05}.bin", block); }

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

// Reads a file of this module front to back; a damaged one is an Input error.
class Reader {
 public:
  explicit Reader(const std::string& path) : file_(path) {}
  bool done() const { return at_ == file_.size(); }
  uint64_t number() {
    uint64_t value = 0;
    read(std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void read(std::span<std::byte> out) {
    file_.read(at_, out);
    at_ += out.size();
  }
  // A size that the rest of the file can hold.
  uint64_t size(uint64_t limit, uint64_t width = 1) {
    const uint64_t n = number();
    if (n > limit || n > (file_.size() - at_) / width) throw input_error("resume", file_.path(), "is damaged at byte {}; run without --resume to start again", at_);
    return n;
  }

 private:
  File file_;
  uint64_t at_ = 0;
};

}  // namespace

std::string Checkpoint::directory_of(const std::string& output) {
  std::string name = output;
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  return name + ".resume";
}

Checkpoint::Checkpoint(const std::string& output, std::string key, bool resume, Context& context) : key_(std::move(key)), resume_(resume), context_(context) {
  directory_ = directory_of(output);
  last_ = std::chrono::steady_clock::now();
  if (!resume_) remove();
}

std::optional<CheckpointState> Checkpoint::load() {
  if (!resume_) return {};
  if (!path_exists(path(kJournal))) {
    context_.info(fmt::format("{}: no checkpoint is there; the run starts from the beginning", directory_));
    return {};
  }
  Json journal;
  try {
    journal = read_json_file(path(kJournal), "resume");
    if (journal.at("schema") != kSchema)
      throw input_error("resume", directory_, "was written by another version of teeny; run without --resume to start again");
    if (journal.at("key") != key_)
      throw usage_error("resume", directory_, "was made with another model, calibration or other options; give the same command as before, or leave --resume out to start again");
    loaded_.blocks = journal.at("blocks").get<int64_t>();
    loaded_.tensors = journal.at("tensors"), loaded_.fallbacks = journal.at("fallbacks"), loaded_.seconds = journal.at("seconds");
    hidden_name_ = journal.at("hidden").get<std::string>();
  } catch (const Json::exception&) {
    throw input_error("resume", path(kJournal), "is damaged; run without --resume to start again");
  }
  if (hidden_name_.find('/') != std::string::npos) throw input_error("resume", path(kJournal), "is damaged; run without --resume to start again");
  context_.info(fmt::format("{}: {} blocks are done already", directory_, loaded_.blocks));
  return loaded_;
}

void Checkpoint::replay(Output& output) const {
  std::vector<std::byte> bytes;
  for (int64_t block = 0; block < loaded_.blocks; ++block) {
    Reader reader(path(block_name(block)));
    while (!reader.done()) {
      std::string name(reader.size(kMaxName), '\0');
      reader.read(std::as_writable_bytes(std::span(name.data(), name.size())));
      bytes.resize(reader.size(UINT64_MAX));
      reader.read(bytes);
      output.replay(name, bytes);
    }
  }
}

HiddenStates Checkpoint::load_hidden() const {
  Reader reader(path(hidden_name_));
  HiddenStates hidden(reader.size(kMaxWindows, 16));
  const bool bf16 = reader.number() == kBf16;
  for (auto& window : hidden) {
    const int64_t T = int64_t(reader.size(kMaxWindows)), H = int64_t(reader.size(kMaxWindows, T ? uint64_t(T) * (bf16 ? 2 : 4) : 1));
    window = at::empty({1, T, H}, bf16 ? at::kBFloat16 : at::kFloat);
    reader.read(std::span(static_cast<std::byte*>(window.mutable_data_ptr()), window.nbytes()));
  }
  return hidden;
}

void Checkpoint::begin_block(Output& output, int64_t block) {
  if (!usable_) return;
  std::error_code error;
  fs::create_directories(directory_, error);
  try {
    block_ = std::make_unique<OutputFile>(path(block_name(block)));
  } catch (const Error& e) {
    return give_up(e.what());
  }
  output.record([this](const std::string& name, std::span<const std::byte> bytes) {
    if (!block_) return;
    try {
      block_->write(bytes_of(uint64_t(name.size())));
      block_->write(name);
      block_->write(bytes_of(uint64_t(bytes.size())));
      block_->write(bytes);
    } catch (const Error& e) {
      give_up(e.what());
    }
  });
}

void Checkpoint::end_block(Output& output, const CheckpointState& state, const HiddenStates& hidden) {
  output.record({});
  if (!usable_) return;
  try {
    block_->commit();
    block_.reset();
    const std::chrono::duration<double> since = std::chrono::steady_clock::now() - last_;
    if (cost_ == 0)
      for (const auto& group : hidden) cost_ += double(group.nbytes()) / kBytesASecond;
    if (since.count() * kShare >= cost_) save(state, hidden);
  } catch (const Error& e) {
    give_up(e.what());
  }
}

void Checkpoint::save(const CheckpointState& state, const HiddenStates& hidden) {
  const auto start = std::chrono::steady_clock::now();
  const std::string before = hidden_name_;
  hidden_name_ = fmt::format("hidden-{:05}.bin", state.blocks);
  {
    OutputFile file(path(hidden_name_));
    uint64_t windows = 0;
    for (const auto& group : hidden) windows += uint64_t(group.size(0));
    file.write(bytes_of(windows));
    file.write(bytes_of(!hidden.empty() && hidden[0].scalar_type() == at::kBFloat16 ? kBf16 : kFloat32));
    for (const auto& group : hidden) {
      const Tensor data = group.contiguous().cpu();
      const size_t width = data.nbytes() / size_t(data.size(0));
      for (int64_t i = 0; i < data.size(0); ++i) {
        file.write(bytes_of(uint64_t(data.size(1))));
        file.write(bytes_of(uint64_t(data.size(2))));
        file.write(std::span(static_cast<const std::byte*>(data.const_data_ptr()) + size_t(i) * width, width));
      }
    }
    file.commit();
  }
  write_file(path(kJournal), dump_json({{"schema", kSchema}, {"key", key_}, {"blocks", state.blocks}, {"tensors", state.tensors}, {"fallbacks", state.fallbacks},
                                        {"seconds", state.seconds}, {"hidden", hidden_name_}}));
  std::error_code ignored;
  if (!before.empty() && before != hidden_name_) fs::remove(path(before), ignored);
  last_ = std::chrono::steady_clock::now();
  cost_ = std::chrono::duration<double>(last_ - start).count();
}

// The run itself does not need checkpoints: without room for them it goes on, and says that it cannot be resumed.
void Checkpoint::give_up(const std::string& why) {
  usable_ = false;
  block_.reset();
  remove();
  context_.warn("no-checkpoint", fmt::format("no checkpoints are kept any more, an interrupted run starts again: {}", why));
}

void Checkpoint::discard(const std::string& directory) {
  std::error_code ignored;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kJournal) || name.starts_with("block-") || name.starts_with("hidden-")) files.push_back(entry.path());
  }
  for (const auto& file : files) fs::remove(file, ignored);
  fs::remove(directory, ignored);  // fails when something else is there
}

}  // namespace teeny
