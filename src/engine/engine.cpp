// The engine behind the facade: one line a command, and libtorch's exceptions turned into teeny's.
#include "engine/engine.h"

#include <ATen/Parallel.h>

#include "teeny/bench/bench.h"
#include "teeny/core/error.h"
#include "teeny/eval/eval.h"
#include "teeny/pipeline/pipeline.h"
#include "teeny/runtime/device.h"
#include "teeny/runtime/host_allocator.h"
#include "engine/generate.h"

namespace teeny {
namespace {

template <class F>
Json guarded(const char* where, const F& body) {
  try {
    return body();
  } catch (const c10::OutOfMemoryError& e) {
    throw device_error(where, "memory", "the device is out of memory: {}; use a smaller --batch, fewer --gpu-layers, or --device cpu", e.what_without_backtrace());
  } catch (const c10::Error& e) {
    const std::string what = e.what_without_backtrace();
    if (what.find("not enough memory") != std::string::npos || what.find("DefaultCPUAllocator") != std::string::npos)
      throw device_error(where, "memory", "{}; use fewer --samples, a smaller --batch, or a machine with more memory", what);
    throw Error(ErrorKind::Bug, where, "libtorch", what + "; this is a bug in teeny, please report it");
  }
}

class LocalEngine : public Engine {
 public:
  Json quantize(const QuantizeOptions& o, Context& c) override { return guarded("quantize", [&] { return run_quantize(o, c); }); }
  Json convert(const ConvertOptions& o, Context& c) override { return guarded("convert", [&] { return run_convert(o, c); }); }
  Json bench(const BenchOptions& o, Context& c) override { return guarded("bench", [&] { return run_bench(o, c); }); }
  Json eval(const EvalOptions& o, Context& c) override { return guarded("eval", [&] { return run_eval(o, c); }); }
  Json generate(const GenerateOptions& o, Context& c) override { return guarded("generate", [&] { return run_generate(o, c); }); }
  Json verify(const CommonOptions& o, Context& c) override { return guarded("inspect", [&] { return run_verify(o, c); }); }
  Json devices(Context&) override { return guarded("doctor", [] { return list_devices(); }); }
};

}  // namespace

Engine* create_engine() {
  use_host_allocator();
  return new LocalEngine;
}

}  // namespace teeny
