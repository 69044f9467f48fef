#include "hub/http.h"

#include <algorithm>
#include <cstring>

#include "hub/curl_api.h"
#include "hub/names.h"
#include "teeny/core/error.h"
#include "teeny/core/version.h"

namespace teeny::hub {
namespace {

constexpr size_t kMaxHeaderBytes = 64 << 10, kMaxRefusalBytes = 16 << 10;
constexpr int kMaxRedirects = 5;

// A part of an address by libcurl's own parser, so that what is checked is what is connected to.
class Address {
 public:
  explicit Address(const std::string& text) : api_(curl_api()), url_(api_.url()) { good_ = join(text); }
  ~Address() { api_.url_cleanup(url_); }
  Address(const Address&) = delete;
  Address& operator=(const Address&) = delete;
  bool good() const { return good_; }
  bool join(const std::string& text) { return text.find_first_of(std::string("\0\r\n", 3)) == text.npos && api_.url_set(url_, CURLUPART_URL, text.c_str(), CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK; }
  std::string get(CURLUPart part, unsigned flags = 0) const {
    char* text = nullptr;
    if (api_.url_get(url_, part, &text, flags) != CURLUE_OK || !text) return "";
    std::string copy = text;
    api_.free(text);
    return copy;
  }

 private:
  const CurlApi& api_;
  CURLU* url_;
  bool good_ = false;
};

bool is_redirect(long status) { return status == 301 || status == 302 || status == 303 || status == 307 || status == 308; }

// The next address, checked: only http(s), never from https to http.
std::string redirect_target(const Hop& hop) {
  const std::string* location = hop.find("location");
  if (!location) throw Transient{fmt::format("{} answered {} without a Location", hop.url, hop.status)};
  Address address(hop.url);
  const std::string before = address.get(CURLUPART_SCHEME);
  if (!address.join(*location)) throw device_error("hub", hop.url, "redirects to something that is no address");
  const std::string scheme = address.get(CURLUPART_SCHEME);
  if (scheme != "https" && scheme != "http") throw device_error("hub", hop.url, "redirects to a {}: address, which is not followed", scheme);
  if (before == "https" && scheme == "http") throw device_error("hub", hop.url, "redirects from https to http, which is not followed");
  return address.get(CURLUPART_URL);
}

}  // namespace

std::string origin_of(const std::string& url) {
  const Address address(url);
  const std::string scheme = address.get(CURLUPART_SCHEME), host = address.get(CURLUPART_HOST);
  if (!address.good() || (scheme != "https" && scheme != "http") || host.empty()) throw input_error("hub", url, "is not an http or https address");
  return scheme + "://" + lower(host) + ":" + address.get(CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

const std::string* Hop::find(const std::string& name) const {
  const auto at = headers.find(name);
  return at == headers.end() ? nullptr : &at->second;
}

const std::string* Answer::find_at_home(const std::string& name) const {
  for (const Hop& hop : before)
    if (const auto* value = hop.find(name); value && origin_of(hop.url) == home) return value;
  return origin_of(url) == home ? find(name) : nullptr;
}

// State of one transfer, filled by libcurl's callbacks. No exception may pass through C: they are kept in `thrown`.
struct HttpClient::Transfer {
  HttpClient* client = nullptr;
  const Request* request = nullptr;
  std::string* body = nullptr;
  Hop hop;
  size_t header_bytes = 0;
  bool begun = false;
  std::exception_ptr thrown;
  curl_slist* list = nullptr;
  char message[CURL_ERROR_SIZE] = {};
  ~Transfer() { curl_api().slist_free_all(list); }

  bool stopped() const { return (client->stop_ && client->stop_->load()) || (client->context_.interrupted && client->context_.interrupted->load()); }

  void header(std::string_view line) {
    if ((header_bytes += line.size()) > kMaxHeaderBytes) throw device_error("hub", hop.url, "sends more than {} bytes of headers", kMaxHeaderBytes);
    if (line.rfind("HTTP/", 0) == 0) {
      hop.headers.clear();  // of "100 Continue" before it
      return;
    }
    const size_t colon = line.find(':');
    if (colon == line.npos) return;
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    while (!value.empty() && (value.back() == '\r' || value.back() == '\n' || value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
    hop.headers.emplace(lower(line.substr(0, colon)), value);
  }

  void begin() {
    begun = true;
    curl_api().getinfo(client->handle_, CURLINFO_RESPONSE_CODE, &hop.status);
    const std::string* encoding = hop.find("content-encoding");
    if (good() && encoding && lower(*encoding) != "identity" && !encoding->empty())
      throw device_error("hub", hop.url, "sends content encoded as {}, which was not asked for; is there a proxy in between?", encoding->substr(0, 40));
    if (good() && request->sink) request->sink->begin(hop);
  }
  bool good() const { return hop.status == 200 || hop.status == 206; }

  void data(std::span<const std::byte> bytes) {
    if (!begun) begin();
    if (good() && request->sink) return request->sink->data(bytes);
    const uint64_t most = good() ? request->max_body : kMaxRefusalBytes;
    if (good() && body->size() + bytes.size() > most) throw device_error("hub", hop.url, "sends more than {} bytes where a short answer is due", most);
    body->append(reinterpret_cast<const char*>(bytes.data()), std::min<uint64_t>(bytes.size(), most - std::min<uint64_t>(most, body->size())));
  }

  template <class F>
  static size_t guarded(void* self, size_t n, F&& work) {
    auto& transfer = *static_cast<Transfer*>(self);
    try {
      if (transfer.stopped()) return n + 1;
      work(transfer);
      return n;
    } catch (...) {
      transfer.thrown = std::current_exception();
      return n + 1;  // any other number than n ends the transfer
    }
  }
  static size_t on_header(char* text, size_t size, size_t n, void* self) {
    return guarded(self, size * n, [&](Transfer& t) { t.header({text, size * n}); });
  }
  static size_t on_data(char* text, size_t size, size_t n, void* self) {
    return guarded(self, size * n, [&](Transfer& t) { t.data(std::as_bytes(std::span(text, size * n))); });
  }
  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) { return static_cast<Transfer*>(self)->stopped() ? 1 : 0; }
};

HttpClient::HttpClient(const HubSettings& settings, const Context& context, const std::atomic<bool>* stop)
    : settings_(settings), context_(context), stop_(stop), handle_(curl_api().easy_init()) {
  if (!handle_) throw device_error("hub", "libcurl", "cannot make a connection's handle");
}

HttpClient::~HttpClient() { curl_api().cleanup(handle_); }

std::vector<std::string> HttpClient::request_headers(const Request& request, bool with_token) const {
  std::vector<std::string> lines{fmt::format("User-Agent: teeny/{}", version_info().version), "Accept-Encoding: identity", "Accept: */*"};
  if (with_token && !settings_.token.empty()) lines.push_back("Authorization: Bearer " + settings_.token);
  if (request.range) lines.push_back(fmt::format("Range: bytes={}-{}", request.range->first, request.range->second));
  if (request.range && !request.if_range.empty()) lines.push_back("If-Range: " + request.if_range);
  return lines;
}

void HttpClient::set_options(const Request& request, const std::string& url, Transfer& transfer) {
  const CurlApi& curl = curl_api();
  curl.reset(handle_);  // keeps connections
  const auto set = [&](CURLoption option, auto value) {
    if (curl.setopt(handle_, option, value) != CURLE_OK) throw device_error("hub", "libcurl", "does not know option {}; install a newer libcurl", int(option));
  };
  set(CURLOPT_URL, url.c_str());
#if LIBCURL_VERSION_NUM >= 0x075500
  set(CURLOPT_PROTOCOLS_STR, "http,https");
#else
  set(CURLOPT_PROTOCOLS, long(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_NETRC, long(CURL_NETRC_IGNORED));
  set(CURLOPT_CONNECTTIMEOUT, 20L);
  set(CURLOPT_LOW_SPEED_LIMIT, 1024L);
  set(CURLOPT_LOW_SPEED_TIME, std::max(1L, long(settings_.silence)));
  if (!request.sink) set(CURLOPT_TIMEOUT, std::max(2L, long(4 * settings_.silence)));
  if (request.head) set(CURLOPT_NOBODY, 1L);
  if (!settings_.certificates.empty()) set(CURLOPT_CAINFO, settings_.certificates.c_str());
  set(CURLOPT_HTTPHEADER, transfer.list);
  set(CURLOPT_ERRORBUFFER, static_cast<char*>(transfer.message));
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_data);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &Transfer::on_progress);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));
}

void HttpClient::throw_failure(int code, const std::string& url, const Transfer& transfer) const {
  const std::string why = transfer.message[0] ? transfer.message : curl_api().strerror(CURLcode(code));
  const bool unreachable = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY;
  if (code == CURLE_SSL_CACERT_BADFILE || code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CERTPROBLEM)
    throw device_error("hub", url, "its certificate is not accepted: {}; behind a company's proxy, name its certificates with SSL_CERT_FILE", why);
  if (code == CURLE_OPERATION_TIMEDOUT && transfer.hop.headers.empty() && !transfer.begun)
    throw Transient{fmt::format("{} does not answer: {}", origin_of(url), why)};
  throw Transient{fmt::format("{}: {}", origin_of(url), why), -1, unreachable};
}

Hop HttpClient::send_once(const Request& request, const std::string& url, bool with_token, std::string& body) {
  const CurlApi& curl = curl_api();
  Transfer transfer;
  transfer.client = this;
  transfer.request = &request;
  transfer.body = &body;
  transfer.hop.url = url;
  for (const auto& line : request_headers(request, with_token)) transfer.list = curl.slist_append(transfer.list, line.c_str());
  set_options(request, url, transfer);
  const CURLcode code = curl.perform(static_cast<CURL*>(handle_));
  if (transfer.thrown) std::rethrow_exception(transfer.thrown);
  context_.check_interrupted();
  if (transfer.stopped()) throw Error(ErrorKind::Interrupted, "hub", url, "stopped: another download failed");
  if (code != CURLE_OK) throw_failure(code, url, transfer);
  curl.getinfo(static_cast<CURL*>(handle_), CURLINFO_RESPONSE_CODE, &transfer.hop.status);
  if (!transfer.begun && !request.head && transfer.good()) transfer.begin();  // an empty body
  return std::move(transfer.hop);
}

Answer HttpClient::send(const Request& request) {
  Answer answer;
  answer.home = origin_of(request.url);
  // Once a chain of redirects has left the endpoint's host, the token stays out, whatever comes after.
  bool at_home = answer.home == origin_of(settings_.endpoint);
  std::string url = request.url;
  for (int redirects = 0;; ++redirects) {
    answer.body.clear();
    Hop hop = send_once(request, url, at_home, answer.body);
    const bool ends = !is_redirect(hop.status);
    if (!ends) url = redirect_target(hop);
    const bool leaves = !ends && origin_of(url) != answer.home;
    if (ends || (!request.follows_to_content && (leaves || hop.find("x-linked-etag")))) {
      static_cast<Hop&>(answer) = std::move(hop);
      return answer;
    }
    at_home = at_home && !leaves;
    answer.before.push_back(std::move(hop));
    if (redirects == kMaxRedirects) throw device_error("hub", request.url, "redirects more than {} times", kMaxRedirects);
  }
}

}  // namespace teeny::hub
