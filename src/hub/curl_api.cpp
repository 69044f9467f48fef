#include "hub/curl_api.h"

#include <dlfcn.h>

#include "teeny/core/error.h"

namespace teeny::hub {
namespace {

void* open_library() {
  for (const char* name : {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.so"})
    if (void* library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  throw device_error("hub", "libcurl", "cannot be opened ({}); install it: apt install libcurl4", ::dlerror());
}

template <class Function>
void bind(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  if (!function) throw device_error("hub", "libcurl", "has no {}; install libcurl 7.68 or later", name);
}

CurlApi load() {
  void* library = open_library();
  CurlApi api{};
  bind(library, "curl_global_init", api.global_init);
  bind(library, "curl_easy_init", api.easy_init);
  bind(library, "curl_easy_setopt", api.setopt);
  bind(library, "curl_easy_getinfo", api.getinfo);
  bind(library, "curl_easy_perform", api.perform);
  bind(library, "curl_easy_reset", api.reset);
  bind(library, "curl_easy_cleanup", api.cleanup);
  bind(library, "curl_easy_strerror", api.strerror);
  bind(library, "curl_slist_append", api.slist_append);
  bind(library, "curl_slist_free_all", api.slist_free_all);
  bind(library, "curl_url", api.url);
  bind(library, "curl_url_set", api.url_set);
  bind(library, "curl_url_get", api.url_get);
  bind(library, "curl_url_cleanup", api.url_cleanup);
  bind(library, "curl_free", api.free);
  if (api.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) throw device_error("hub", "libcurl", "cannot be initialised");
  return api;
}

}  // namespace

const CurlApi& curl_api() {
  static const CurlApi api = load();
  return api;
}

}  // namespace teeny::hub
