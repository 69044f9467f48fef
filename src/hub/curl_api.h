// libcurl, opened when something is downloaded: linked, its thirty libraries would make every start slower.
#pragma once
#include <curl/curl.h>

namespace teeny::hub {

struct CurlApi {
  decltype(&curl_global_init) global_init;
  decltype(&curl_easy_init) easy_init;
  decltype(&curl_easy_setopt) setopt;
  decltype(&curl_easy_getinfo) getinfo;
  decltype(&curl_easy_perform) perform;
  decltype(&curl_easy_reset) reset;
  decltype(&curl_easy_cleanup) cleanup;
  decltype(&curl_easy_strerror) strerror;
  decltype(&curl_slist_append) slist_append;
  decltype(&curl_slist_free_all) slist_free_all;
  decltype(&curl_url) url;
  decltype(&curl_url_set) url_set;
  decltype(&curl_url_get) url_get;
  decltype(&curl_url_cleanup) url_cleanup;
  decltype(&curl_free) free;
};

const CurlApi& curl_api();  // Device error when libcurl is not on this machine

}  // namespace teeny::hub
