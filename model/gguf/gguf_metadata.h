// The metadata section of a GGUF file: typed values, and names for their types.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/gguf/gguf_cursor.h"
#include "model/gguf/gguf_file.h"

namespace shoal {

struct GgufPair {
  std::string_view key;
  GgufValue value;
  std::span<const std::byte> encoded;  // type and value as they stand in the file
};

// Reads one pair at the cursor. `index` is its place in the section, for errors before its key.
// `file` is what the cursor reads.
Result<GgufPair> ReadMetadataPair(GgufCursor& cursor, std::span<const std::byte> file,
                                  uint64_t index);

// "uint32", "string", "array of float32": as messages and `shoal inspect` print it.
std::string DescribeType(const GgufValue& value);
std::string DescribeType(const GgufArray& array);
std::string_view ElementTypeName(const GgufArray& array);

}  // namespace shoal
