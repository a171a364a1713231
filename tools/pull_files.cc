#include "tools/pull_files.h"

#include <filesystem>
#include <numeric>
#include <system_error>

namespace shoal {

namespace {

namespace fs = std::filesystem;

}  // namespace

int64_t BytesOf(const PullFiles& files) {
  std::error_code missing;
  const auto part = static_cast<int64_t>(fs::file_size(files.part, missing));
  const std::vector<int64_t> package = FileSizesIn(files.package);
  return std::accumulate(package.begin(), package.end(), missing ? 0 : part);
}

std::vector<int64_t> FileSizesIn(const std::string& folder) {
  std::vector<int64_t> sizes;
  std::error_code failed;
  fs::recursive_directory_iterator entries(folder, failed);
  for (; !failed && entries != fs::recursive_directory_iterator(); entries.increment(failed)) {
    std::error_code gone;  // another process may remove it at any time
    const auto bytes = static_cast<int64_t>(entries->file_size(gone));
    if (!gone && entries->is_regular_file(gone)) sizes.push_back(bytes);
  }
  return sizes;
}

}  // namespace shoal
