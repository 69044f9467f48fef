// One blob over the wire.
#pragma once
#include <atomic>
#include <mutex>
#include <string>

#include "hub/http.h"
#include "hub/partial.h"

namespace teeny::hub {

// Bytes as progress of a thousandth or a millionth of them.
class Meter {
 public:
  Meter(const Context& context, const std::string& what, uint64_t bytes);
  ~Meter() { context_.progress_finish(); }
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;
  void add(uint64_t bytes);

 private:
  const Context& context_;
  uint64_t unit_;
  std::mutex mutex_;
  uint64_t rest_ = 0;
};

// Thrown when the server no longer sends what the partial file began with, or does not know ranges.
struct ContentChanged {
  std::string what;
};

struct Transfer {
  const HubSettings& settings;
  const Context& context;
  Meter& meter;
  std::string url, name;     // name: "org/name/file", for messages
  bool trust_etags = true;   // false after restarts: then only the content id decides
  // Where the last redirect led; asked directly the next time, until it refuses.
  std::mutex mutex;
  std::string location;
};

// Completes `partial`. Throws ContentChanged (call again after partial.reset()), Device, Input, Interrupted.
void fill(Partial& partial, Transfer& transfer, const std::atomic<bool>& stop);

}  // namespace teeny::hub
