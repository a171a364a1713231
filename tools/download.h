// Gets a file over https, over libcurl. What has come stays beside the target when it breaks off,
// and the next download of the same URL goes on from there if the server still has the same file.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace shoal {

struct DownloadOptions {
  std::string url;      // https only, in either case, and so are redirects
  std::string ca_file;  // certificates to trust instead of the system's; empty: the system's
  std::string path;     // of the file; meanwhile it is PATH.part
  int64_t max_bytes = 0;
};

constexpr int64_t kMaxDownloadBytes = int64_t{4} << 40;

// Called several times a second; `total` is 0 until it is known.
using DownloadProgress = std::function<void(int64_t done, int64_t total)>;

// Without what may be secret: user, password and query.
std::string ShownUrl(std::string_view url);

// Leaves the whole file at PATH.part, to be checked and renamed by the caller. Errors: a URL that
// is not https, what the server or the network says (with ShownUrl), a server that sends nothing,
// kResourceExhausted for more than max_bytes or a full disk, kCancelled once `stop` is set.
Status Download(const DownloadOptions& options, const DownloadProgress& progress,
                const std::atomic<bool>& stop);

}  // namespace shoal
