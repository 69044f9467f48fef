#include "teeny/runtime/host_allocator.h"

#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <cstdlib>
#include <list>
#include <mutex>
#include <new>

namespace teeny {
namespace {

constexpr size_t kOwnPages = 1 << 20;         // smaller tensors are the C library's
constexpr size_t kLargePage = 2 << 20;
constexpr size_t kLargestKept = 64 << 20;
constexpr size_t kKeptBytes = 256 << 20;
constexpr size_t kAlignment = 64;

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }
size_t size_class(size_t n) { return round_up(n, n < 2 * kLargePage ? 64 << 10 : kLargePage); }

[[noreturn]] void throw_no_memory(size_t bytes) {
  C10_THROW_ERROR(OutOfMemoryError, "not enough memory: " + std::to_string(bytes) + " bytes more were asked for");
}

// Pages from the kernel, aligned to a large page where one fits.
void* map_pages(size_t bytes) {
  const size_t slack = bytes >= kLargePage ? kLargePage : 0;
  void* got = ::mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (got == MAP_FAILED) throw_no_memory(bytes);
  if (!slack) return got;
  const auto begin = reinterpret_cast<uintptr_t>(got), aligned = round_up(begin, kLargePage);
  if (aligned > begin) ::munmap(got, aligned - begin);
  if (const size_t after = begin + bytes + slack - (aligned + bytes)) ::munmap(reinterpret_cast<void*>(aligned + bytes), after);
  ::madvise(reinterpret_cast<void*>(aligned), bytes, MADV_HUGEPAGE);
  return reinterpret_cast<void*>(aligned);
}

class Pages {
 public:
  void* get(size_t bytes) {
    {
      const std::lock_guard lock(mutex_);
      for (auto at = kept_.begin(); at != kept_.end(); ++at)
        if (at->bytes == bytes) {
          void* const found = at->data;
          kept_bytes_ -= bytes;
          kept_.erase(at);
          return found;
        }
    }
    return map_pages(bytes);
  }
  void put(void* data, size_t bytes) {
    if (bytes > kLargestKept) {
      ::munmap(data, bytes);
      return;
    }
    const std::lock_guard lock(mutex_);
    kept_.push_front({data, bytes});
    for (kept_bytes_ += bytes; kept_bytes_ > kKeptBytes; kept_.pop_back()) {
      kept_bytes_ -= kept_.back().bytes;
      ::munmap(kept_.back().data, kept_.back().bytes);
    }
  }

 private:
  struct Kept {
    void* data;
    size_t bytes;
  };
  std::mutex mutex_;
  std::list<Kept> kept_;  // newest first
  size_t kept_bytes_ = 0;
};

// Never destroyed: tensors of static lifetime may be freed after everything else.
Pages& pages() {
  static auto* const all = new Pages;
  return *all;
}

struct Mapped {
  void* data;
  size_t bytes;
};

void free_mapped(void* context) {
  auto* const mapped = static_cast<Mapped*>(context);
  pages().put(mapped->data, mapped->bytes);
  delete mapped;
}

class HostAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t n) override {
    const c10::Device cpu(c10::DeviceType::CPU);
    if (n == 0) return {nullptr, nullptr, nullptr, cpu};
    if (n >= kOwnPages) {
      if (n > SIZE_MAX - 2 * kLargePage) throw_no_memory(n);
      auto* const mapped = new Mapped{nullptr, size_class(n)};
      try {
        mapped->data = pages().get(mapped->bytes);
      } catch (...) {
        delete mapped;
        throw;
      }
      return {mapped->data, mapped, free_mapped, cpu};
    }
    void* const data = std::aligned_alloc(kAlignment, round_up(n, kAlignment));
    if (!data) throw_no_memory(n);
    return {data, data, std::free, cpu};
  }
  void copy_data(void* to, const void* from, size_t n) const override { default_copy_data(to, from, n); }
};

}  // namespace

void use_host_allocator() {
  static const bool done = [] {
    c10::SetCPUAllocator(new HostAllocator, /*priority=*/255);
    return true;
  }();
  (void)done;
}

}  // namespace teeny
