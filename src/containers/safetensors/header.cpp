#include "containers/safetensors/header.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <unordered_set>

#include "containers/common.h"
#include "containers/json_events.h"

namespace teeny {
namespace {
constexpr const char* kWhere = "safetensors";
constexpr size_t kMaxRank = 16, kMaxName = 64 << 10;

class HeaderEvents : public JsonEvents {
 public:
  explicit HeaderEvents(std::string_view subject) : JsonEvents(kWhere, subject) {}
  SafetensorsHeader header;
  std::vector<std::pair<uint64_t, uint64_t>> ranges;  // data_offsets of header.tensors[i], relative to the data

  bool start_object(size_t) override {
    if (state_ == State::Start) return go(State::Top);
    if (state_ != State::Top) unexpected("an object");
    if (in_metadata_) return go(State::Metadata);
    header.tensors.push_back({.name = name_, .dtype = {}, .shape = {}, .bytes = 0, .file = 0, .offset = 0});
    has_ = {};
    return go(State::Tensor);
  }
  bool end_object() override {
    if (state_ == State::Tensor) finish_tensor();
    return go(state_ == State::Top ? State::End : State::Top);
  }
  bool key(std::string& key) override {
    if (state_ == State::Tensor) return tensor_key(key);
    if (key.size() > kMaxName) throw error("a name of {} bytes, at most {} are accepted", key.size(), kMaxName);
    auto& seen = state_ == State::Metadata ? metadata_names_ : names_;
    if (!seen.insert(key).second) throw error("key \"{}\" stands twice", printable(key));
    in_metadata_ = state_ == State::Metadata || key == "__metadata__";
    if (!in_metadata_ && header.tensors.size() >= kMaxTensors) throw error("more than {} tensors", kMaxTensors);
    name_ = key;
    return true;
  }
  bool string(std::string& value) override {
    if (state_ == State::Metadata) {
      header.metadata.emplace_back(name_, value);
      return true;
    }
    if (state_ != State::Tensor || field_ != Dtype) unexpected("a string");
    const auto dtype = dtype_from_safetensors(value);
    if (!dtype) throw error("tensor \"{}\" has the unknown dtype \"{}\"", printable(name_), printable(value));
    header.tensors.back().dtype = *dtype;
    return true;
  }
  bool start_array(size_t) override {
    if (state_ != State::Tensor || field_ == Dtype) unexpected("an array");
    return go(field_ == Shape ? State::Shape : State::Offsets);
  }
  bool end_array() override {
    if (state_ == State::Offsets && offsets_.size() != 2)
      throw error("tensor \"{}\" has {} data_offsets, expected 2", printable(name_), offsets_.size());
    return go(State::Tensor);
  }
  bool number_unsigned(uint64_t value) override {
    if (state_ == State::Shape) {
      auto& shape = header.tensors.back().shape;
      if (value > uint64_t(INT64_MAX)) throw error("tensor \"{}\" has the size {} in its shape, beyond 63 bits", printable(name_), value);
      if (shape.size() == kMaxRank) throw error("tensor \"{}\" has more than {} dimensions", printable(name_), kMaxRank);
      shape.push_back(int64_t(value));
    } else if (state_ == State::Offsets) {
      if (offsets_.size() == 2) throw error("tensor \"{}\" has more than 2 data_offsets", printable(name_));
      offsets_.push_back(value);
    } else {
      unexpected(fmt::format("the number {}", value));
    }
    return true;
  }

 private:
  enum class State { Start, Top, Metadata, Tensor, Shape, Offsets, End };
  enum Field { Dtype, Shape, Offsets, None };

  bool go(State next) {
    state_ = next;
    if (next == State::Tensor) field_ = None;
    if (next == State::Offsets) offsets_.clear();
    return true;
  }
  template <class... A>
  Error error(fmt::format_string<A...> format, A&&... args) const {
    return Error(ErrorKind::Input, where_, subject_, "the header has " + fmt::format(format, std::forward<A>(args)...));
  }
  bool tensor_key(const std::string& key) {
    field_ = key == "dtype" ? Dtype : key == "shape" ? Shape : key == "data_offsets" ? Offsets : None;
    if (field_ == None) throw error("tensor \"{}\" with the unknown field \"{}\"", printable(name_), printable(key));
    if (has_[field_]) throw error("tensor \"{}\" with two fields \"{}\"", printable(name_), key);
    has_[field_] = true;
    return true;
  }
  void finish_tensor() {
    for (const auto& [field, text] : {std::pair{Dtype, "dtype"}, {Shape, "shape"}, {Offsets, "data_offsets"}})
      if (!has_[field]) throw error("tensor \"{}\" without \"{}\"", printable(name_), text);
    if (offsets_[1] < offsets_[0])
      throw error("tensor \"{}\" with data_offsets [{}, {}], which run backwards", printable(name_), offsets_[0], offsets_[1]);
    ranges.emplace_back(offsets_[0], offsets_[1]);
  }
  std::string place() const override {
    static constexpr const char* kFields[] = {"dtype", "shape", "data_offsets", "entry"};
    switch (state_) {
      case State::Start: return "the header";
      case State::Metadata: return fmt::format("__metadata__[\"{}\"]", printable(name_));
      case State::Top: return in_metadata_ ? "__metadata__" : fmt::format("the entry of tensor \"{}\"", printable(name_));
      default: return fmt::format("{} of tensor \"{}\"", kFields[state_ == State::Shape ? Shape : state_ == State::Offsets ? Offsets : field_],
                                  printable(name_));
    }
  }

  State state_ = State::Start;
  Field field_ = None;
  bool in_metadata_ = false;
  std::array<bool, 3> has_{};
  std::string name_;
  std::vector<uint64_t> offsets_;
  std::unordered_set<std::string> names_, metadata_names_;
};

// Sorted by place the tensors must fill the data section exactly: no hole, no overlap, nothing after the last.
void check_layout(const HeaderEvents& events, uint64_t data_bytes, std::string_view subject) {
  const auto& ranges = events.ranges;
  std::vector<size_t> order(ranges.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return ranges[a] < ranges[b]; });
  uint64_t end = 0;
  for (const size_t i : order) {
    const auto name = printable(events.header.tensors[i].name);
    if (ranges[i].first != end)
      throw input_error(kWhere, subject, "tensor \"{}\" begins at data byte {}, expected {} ({}); the header is corrupt", name, ranges[i].first,
                        end, ranges[i].first < end ? "it overlaps another tensor" : "there is a hole before it");
    end = ranges[i].second;
    if (end > data_bytes)
      throw input_error(kWhere, subject, "tensor \"{}\" ends at data byte {}, the file has {}; the file is truncated", name, end, data_bytes);
  }
  if (end != data_bytes)
    throw input_error(kWhere, subject, "has {} bytes after the last tensor, which ends at data byte {}; the file is corrupt", data_bytes - end, end);
}
}  // namespace

uint64_t safetensors_header_length(std::span<const std::byte> start, uint64_t file_size, std::string_view subject) {
  if (file_size < 8 || start.size() < 8)
    throw input_error(kWhere, subject, "has {} bytes, a safetensors file has at least 8; the file is truncated", file_size);
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | uint64_t(start[size_t(i)]);
  if (length > kSafetensorsMaxHeader)
    throw input_error(kWhere, subject, "the header length at byte 0 is {}, at most {} is allowed; is this a safetensors file?", length,
                      kSafetensorsMaxHeader);
  if (length > file_size - 8)
    throw input_error(kWhere, subject, "the header length at byte 0 is {}, the file has {} bytes; the file is truncated", length, file_size);
  if (length < 2) throw input_error(kWhere, subject, "the header length at byte 0 is {}, the shortest header has 2 bytes", length);
  return length;
}

SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t file_size, std::string_view subject) {
  TEENY_ASSERT(json.size() <= kSafetensorsMaxHeader && json.size() + 8 <= file_size);
  HeaderEvents events(subject);
  events.parse(json);
  for (size_t i = 0; i < events.ranges.size(); ++i) {
    auto& tensor = events.header.tensors[i];
    const auto [begin, end] = events.ranges[i];
    tensor.bytes = tensor_size(tensor.dtype, tensor.shape, kWhere, subject, tensor.name).bytes;
    if (end - begin != tensor.bytes)
      throw input_error(kWhere, subject, "tensor \"{}\" of shape {} and dtype {} needs {} bytes, its data_offsets [{}, {}] hold {}",
                        printable(tensor.name), shape_text(tensor.shape), name_of(tensor.dtype), tensor.bytes, begin, end, end - begin);
  }
  check_layout(events, file_size - 8 - json.size(), subject);
  for (size_t i = 0; i < events.ranges.size(); ++i) events.header.tensors[i].offset = 8 + json.size() + events.ranges[i].first;
  return std::move(events.header);
}

namespace {
class IndexEvents : public JsonEvents {
 public:
  explicit IndexEvents(std::string_view subject) : JsonEvents("index", subject) {}
  std::vector<std::pair<std::string, std::string>> map;
  bool found = false;

  bool start_object(size_t) override { return enter(); }
  bool start_array(size_t) override {
    if (depth_ == 0 || in_map_) unexpected("an array");
    return enter();
  }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }
  bool key(std::string& key) override {
    key_ = key;
    if (depth_ == 1) {
      if (!top_.insert(key).second) throw input_error(where_, subject_, "key \"{}\" stands twice", printable(key));
      if (key == "weight_map") found = in_map_ = true;
    } else if (in_map_ && !tensors_.insert(key).second) {
      throw input_error(where_, subject_, "tensor \"{}\" stands twice in weight_map", printable(key));
    }
    return true;
  }
  bool string(std::string& value) override {
    if (!in_map_) return true;
    if (depth_ != 2) unexpected("a string");
    const bool plain = value.size() <= 255 && value.ends_with(".safetensors") && value.find_first_of(std::string_view("/\\:\0", 4)) == value.npos &&
                       !value.starts_with('.') &&
                       std::none_of(value.begin(), value.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
    if (!plain)
      throw input_error(where_, subject_, "weight_map[\"{}\"] is \"{}\", expected the plain name of a .safetensors file in this directory",
                        printable(key_), printable(value));
    if (map.size() >= kMaxTensors) throw input_error(where_, subject_, "more than {} tensors", kMaxTensors);
    map.emplace_back(key_, std::move(value));
    return true;
  }
  bool null() override { return in_map_ ? JsonEvents::null() : true; }
  bool boolean(bool v) override { return in_map_ ? JsonEvents::boolean(v) : true; }
  bool number_integer(int64_t v) override { return in_map_ ? JsonEvents::number_integer(v) : true; }
  bool number_unsigned(uint64_t v) override { return in_map_ ? JsonEvents::number_unsigned(v) : true; }
  bool number_float(double v, const std::string& t) override { return in_map_ ? JsonEvents::number_float(v, t) : true; }

 private:
  bool enter() {
    if (in_map_ && depth_ != 1) unexpected("an object");
    if (++depth_ > 64) throw input_error(where_, subject_, "is nested deeper than 64 levels");
    return true;
  }
  bool leave() {
    if (--depth_ == 1) in_map_ = false;
    return true;
  }
  std::string place() const override { return in_map_ ? fmt::format("weight_map[\"{}\"]", printable(key_)) : "the index"; }

  int depth_ = 0;
  bool in_map_ = false;
  std::string key_;
  std::unordered_set<std::string> top_, tensors_;
};
}  // namespace

std::vector<std::pair<std::string, std::string>> parse_safetensors_index(std::string_view json, std::string_view subject) {
  IndexEvents events(subject);
  events.parse(json);
  if (!events.found) throw input_error("index", subject, "has no \"weight_map\"");
  if (events.map.empty()) throw input_error("index", subject, "\"weight_map\" is empty");
  return std::move(events.map);
}

}  // namespace teeny
