// What GgufFile promises of every file that it accepts, checked the slow and obvious way.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "model/gguf/gguf_file.h"

namespace shoal {

// Empty if `file`, parsed from `bytes`, keeps every promise of its header; else what it breaks.
// Reads every byte of every tensor and every piece of metadata.
std::string GgufViolation(const GgufFile& file, std::span<const std::byte> bytes);

}  // namespace shoal
