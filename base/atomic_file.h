// Small files that survive a crash: a reader sees the whole old one or the whole new one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace shoal {

// Whether a written file is flushed to the disk, which takes milliseconds. One that is not may be
// empty or damaged after a power failure: for what is checked when it is read.
enum class Durability { kFlushed, kNotFlushed };

// Writes a file of mode 0600 beside `path`, flushes it to the disk, and renames it to `path`.
// Errors name the path and what the system says; the old file is then untouched. Several threads
// and processes may write one path at once: one of them wins.
Status WriteFileAtomically(const std::string& path, std::string_view bytes,
                           Durability durability = Durability::kFlushed);

// All of the file. Errors: kNotFound if there is none; one that is longer than `max_bytes`, or that
// cannot be read.
Result<std::string> ReadFileUpTo(const std::string& path, int64_t max_bytes);

}  // namespace shoal
