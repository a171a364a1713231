// How fast files come from the disk, past the operating system's cache.
#pragma once

#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace shoal {

// Bytes per second of reading `path` from its start in large blocks, for a fifth of a second or 128
// MiB at most. Where the file system has no direct reads, the file is dropped from the cache first,
// which is a wish only. Errors: it cannot be opened or read, or is empty.
Result<double> MeasureDiskBytesPerS(const std::string& path, const Clock& clock);

// The same of a file of 32 MiB made in `folder` for it and removed again. Errors: also if it cannot
// be written.
Result<double> MeasureFolderBytesPerS(const std::string& folder, const Clock& clock);

}  // namespace shoal
