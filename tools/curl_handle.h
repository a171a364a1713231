// Owners of libcurl's objects.
#pragma once

#include <curl/curl.h>

namespace shoal {

struct CurlFree {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

}  // namespace shoal
