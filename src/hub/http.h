// HTTP as a download needs it: redirects followed by hand (the token never leaves its host, https never becomes http),
// headers and bodies capped, silence noticed, interrupts obeyed. Retries are in retry.h.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "teeny/core/context.h"
#include "teeny/hub/hub.h"

namespace teeny::hub {

// Names in lower case; of a name sent twice, the first counts.
using Headers = std::map<std::string, std::string>;

struct Hop {
  long status = 0;
  std::string url;
  Headers headers;
  const std::string* find(const std::string& name) const;
};

struct Answer : Hop {
  std::vector<Hop> before;  // the redirects that led here
  std::string body;         // of answers without a sink, and of refusals (at most 16 kB then)
  // The first hop at the endpoint's own host that has the header: what a content network says does not count.
  const std::string* find_at_home(const std::string& name) const;
  std::string home;  // origin of the first request
};

// Receives the body of a 200 or 206. Either may throw to end the transfer.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void begin(const Hop& hop) = 0;
  virtual void data(std::span<const std::byte> bytes) = 0;
};

struct Request {
  std::string url;
  bool head = false;
  bool follows_to_content = true;  // false: a redirect to another host, or one that describes its target, is the answer
  std::optional<std::pair<uint64_t, uint64_t>> range;  // first and last byte
  std::string if_range;
  Sink* sink = nullptr;
  uint64_t max_body = 32 << 20;  // without a sink
};

// What may go away by itself: thrown by send() and by sinks, caught by with_retries().
struct Transient {
  std::string what;
  double wait = -1;          // seconds the server asked for; negative: it did not say
  bool unreachable = false;  // no connection at all
};

std::string origin_of(const std::string& url);  // "https://host:443"; Input error for what is not http(s)

// One connection's worth; not shared between threads.
class HttpClient {
 public:
  HttpClient(const HubSettings& settings, const Context& context, const std::atomic<bool>* stop = nullptr);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  Answer send(const Request& request);  // any status but a redirect; Transient, Error

 private:
  struct Transfer;
  Hop send_once(const Request& request, const std::string& url, bool with_token, std::string& body);
  void set_options(const Request& request, const std::string& url, Transfer& transfer);
  std::vector<std::string> request_headers(const Request& request, bool with_token) const;
  [[noreturn]] void throw_failure(int code, const std::string& url, const Transfer& transfer) const;
  const HubSettings& settings_;
  const Context& context_;
  const std::atomic<bool>* stop_;
  void* handle_ = nullptr;
};

// 408, 429 and 5xx are Transient; 401, 403, 404 an Input error that says what to do; other refusals a Device error.
// `what` is shown: "org/name". Passes 200 and 206.
void require_success(const Answer& answer, const std::string& what, const HubSettings& settings);

}  // namespace teeny::hub
