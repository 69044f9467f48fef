#include "record/nvml.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <sstream>

#include "teeny/core/env.h"

namespace teeny {

// Signatures and constants of nvml.h (CUDA 13): 0 is success, handles are opaque pointers.
struct Nvml::Functions {
  using Handle = void*;
  struct Memory {
    unsigned long long total, free, used;
  };
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*by_index)(unsigned, Handle*) = nullptr;
  int (*name)(Handle, char*, unsigned) = nullptr;
  int (*energy)(Handle, unsigned long long*) = nullptr;
  int (*memory)(Handle, Memory*) = nullptr;
  int (*driver)(char*, unsigned) = nullptr;
  int (*cores)(Handle, unsigned*) = nullptr;
  int (*capability)(Handle, int*, int*) = nullptr;
  int (*power_limit)(Handle, unsigned*) = nullptr;
  int (*clock)(Handle, int, unsigned*) = nullptr;
  int (*max_clock)(Handle, int, unsigned*) = nullptr;
  int (*uuid)(Handle, char*, unsigned) = nullptr;
};

namespace {

constexpr int kSmClock = 1, kMemoryClock = 2;  // nvmlClockType_t

template <class F>
void find(void* library, F& function, const char* symbol) {
  function = reinterpret_cast<F>(::dlsym(library, symbol));
}

// CUDA cores of one multiprocessor; 0 where it is not known.
unsigned cores_per_sm(int major, int minor) {
  if (major == 7 || (major == 8 && minor == 0)) return 64;
  return major == 8 || major == 9 || major == 10 || major == 12 ? 128 : 0;
}

template <class Call>
std::string text_of(const Call& call) {
  std::array<char, 96> text{};
  return call(text.data(), unsigned(text.size() - 1)) == 0 ? std::string(text.data()) : std::string();
}

Json or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

}  // namespace

std::shared_ptr<Nvml> Nvml::open() {
  std::shared_ptr<Nvml> nvml(new Nvml);
  nvml->library_ = ::dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (!nvml->library_) return nullptr;
  auto f = std::make_unique<Functions>();
  const auto from = [&](auto& function, const char* symbol) { find(nvml->library_, function, symbol); };
  from(f->init, "nvmlInit_v2");
  from(f->count, "nvmlDeviceGetCount_v2");
  from(f->by_index, "nvmlDeviceGetHandleByIndex_v2");
  from(f->name, "nvmlDeviceGetName");
  if (!f->init || !f->count || !f->by_index || !f->name || f->init() != 0) return nullptr;
  from(f->shutdown, "nvmlShutdown");
  from(f->energy, "nvmlDeviceGetTotalEnergyConsumption");
  from(f->memory, "nvmlDeviceGetMemoryInfo");
  from(f->driver, "nvmlSystemGetDriverVersion");
  from(f->cores, "nvmlDeviceGetNumGpuCores");
  from(f->capability, "nvmlDeviceGetCudaComputeCapability");
  from(f->power_limit, "nvmlDeviceGetEnforcedPowerLimit");
  from(f->clock, "nvmlDeviceGetClockInfo");
  from(f->max_clock, "nvmlDeviceGetMaxClockInfo");
  from(f->uuid, "nvmlDeviceGetUUID");
  nvml->f_ = std::move(f);
  return nvml;
}

Nvml::~Nvml() {
  if (f_ && f_->shutdown) f_->shutdown();
  if (library_) ::dlclose(library_);
}

void* Nvml::handle(unsigned gpu) const {
  void* handle = nullptr;
  return f_->by_index(gpu, &handle) == 0 ? handle : nullptr;
}

unsigned Nvml::count() const {
  unsigned n = 0;
  return f_->count(&n) == 0 ? n : 0;
}

std::string Nvml::name(unsigned gpu) const {
  auto* h = handle(gpu);
  return h ? text_of([&](char* text, unsigned size) { return f_->name(h, text, size); }) : "";
}

std::optional<unsigned long long> Nvml::energy_mj(unsigned gpu) const {
  unsigned long long now = 0;
  auto* h = handle(gpu);
  return h && f_->energy && f_->energy(h, &now) == 0 ? std::optional(now) : std::nullopt;
}

Json Nvml::facts(unsigned gpu) const {
  auto* h = handle(gpu);
  if (!h) return nullptr;
  Json out = {{"index", gpu}, {"name", name(gpu)}, {"memory_bytes", 0}, {"driver", nullptr}, {"sm_count", nullptr}, {"power_limit_w", nullptr}, {"clocks", nullptr},
              {"compute_capability", nullptr}, {"uuid", nullptr}};
  if (Functions::Memory memory{}; f_->memory && f_->memory(h, &memory) == 0) out["memory_bytes"] = memory.total;
  if (f_->driver) out["driver"] = or_null(text_of([&](char* text, unsigned size) { return f_->driver(text, size); }));
  if (f_->uuid) out["uuid"] = or_null(text_of([&](char* text, unsigned size) { return f_->uuid(h, text, size); }));
  int major = 0, minor = 0;
  unsigned value = 0;
  if (f_->capability && f_->capability(h, &major, &minor) == 0) {
    out["compute_capability"] = fmt::format("{}.{}", major, minor);
    if (const unsigned each = cores_per_sm(major, minor); each && f_->cores && f_->cores(h, &value) == 0) out["sm_count"] = value / each;
  }
  if (f_->power_limit && f_->power_limit(h, &value) == 0) out["power_limit_w"] = double(value) * 1e-3;
  Json clocks = Json::object();
  const auto clock = [&](const char* key, auto call, int domain) {
    if (call && call(h, domain, &value) == 0) clocks[key] = value;
  };
  clock("sm", f_->clock, kSmClock), clock("memory", f_->clock, kMemoryClock);
  clock("sm_max", f_->max_clock, kSmClock), clock("memory_max", f_->max_clock, kMemoryClock);
  if (!clocks.empty()) out["clocks"] = std::move(clocks);
  return out;
}

std::optional<unsigned> visible_gpu(const std::string& visible, unsigned device, const std::vector<std::string>& uuids) {
  std::istringstream list(visible);
  std::string entry;
  for (unsigned i = 0; std::getline(list, entry, ','); ++i) {
    unsigned index = 0;
    const char* last = entry.data() + entry.size();
    const auto [end, error] = std::from_chars(entry.data(), last, index);
    bool found = error == std::errc() && end == last && index < uuids.size();
    for (unsigned gpu = 0; !found && entry.size() > 4 && gpu < uuids.size(); ++gpu)
      if (uuids[gpu].starts_with(entry)) index = gpu, found = true;
    if (!found) return std::nullopt;
    if (i == device) return index;
  }
  return std::nullopt;
}

std::optional<unsigned> nvml_index(const Nvml& nvml, unsigned device) {
  const auto visible = env("CUDA_VISIBLE_DEVICES");
  if (!visible) return device < nvml.count() ? std::optional(device) : std::nullopt;
  std::vector<std::string> uuids;
  for (unsigned gpu = 0; gpu < nvml.count(); ++gpu) {
    const Json facts = nvml.facts(gpu);
    uuids.push_back(facts.is_object() && facts["uuid"].is_string() ? facts["uuid"].get<std::string>() : "");
  }
  return visible_gpu(*visible, device, uuids);
}

Json gpu_facts() {
  Json out = Json::array();
  const auto nvml = Nvml::open();
  if (!nvml) return out;
  for (unsigned device = 0; device < nvml->count(); ++device) {
    const auto gpu = nvml_index(*nvml, device);
    Json facts = gpu ? nvml->facts(*gpu) : Json();
    if (!facts.is_null()) out.push_back(std::move(facts));
  }
  return out;
}

}  // namespace teeny
