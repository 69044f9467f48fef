// An open-addressing map from 64-bit keys, built once and then only read.
#pragma once
#include <bit>
#include <cstdint>
#include <vector>

namespace teeny {

inline uint64_t mix64(uint64_t x) {
  x ^= x >> 32;
  x *= 0x9E3779B97F4A7C15ull;
  return x ^ x >> 29;
}

template <class Value>
class FlatMap {
 public:
  explicit FlatMap(size_t expected = 0) { slots_.resize(std::bit_ceil(expected * 2 + 8)); }
  const Value* find(uint64_t key) const {
    for (size_t i = mix64(key) & mask();; i = (i + 1) & mask()) {
      if (slots_[i].key == key) return &slots_[i].value;
      if (slots_[i].key == kEmpty) return nullptr;
    }
  }
  // The value of `key`, made if absent. Pointers and references are valid until the next call.
  Value& operator[](uint64_t key) {
    if (count_ * 2 >= slots_.size()) grow();
    Slot& slot = place(key);
    if (slot.key == kEmpty) slot.key = key, ++count_;
    return slot.value;
  }

 private:
  static constexpr uint64_t kEmpty = ~0ull;  // never a key: ids are below 2^31
  struct Slot {
    uint64_t key = kEmpty;
    Value value{};
  };
  size_t mask() const { return slots_.size() - 1; }
  Slot& place(uint64_t key) {
    size_t i = mix64(key) & mask();
    while (slots_[i].key != kEmpty && slots_[i].key != key) i = (i + 1) & mask();
    return slots_[i];
  }
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old)
      if (slot.key != kEmpty) place(slot.key) = slot;
  }
  std::vector<Slot> slots_;
  size_t count_ = 0;
};

}  // namespace teeny
