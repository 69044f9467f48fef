// Tries again what may succeed next time: growing pauses, the server's Retry-After, an end to patience.
#pragma once
#include <functional>
#include <string>

#include "hub/http.h"
#include "teeny/core/error.h"

namespace teeny::hub {

// A Device error whose cause is that nothing can be reached: the cache may still do.
struct Unreachable : Error {
  using Error::Error;
};

// Calls `attempt` until it returns. `progressed` (may be null) says whether the last attempt got somewhere: then the
// count begins again. Throws Device after settings.attempts attempts.
void with_retries(const std::string& subject, const HubSettings& settings, const Context& context, const std::atomic<bool>* stop,
                  const std::function<void()>& attempt, const std::function<bool()>& progressed = nullptr);

}  // namespace teeny::hub
