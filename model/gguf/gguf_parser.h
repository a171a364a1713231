// Reads and checks the parts of a model and puts a GgufFile together. Used by GgufFile only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/gguf_metadata.h"

namespace shoal {

// One part of a model after its own checks; views point into its bytes.
struct GgufPart {
  uint32_t version = 0;
  std::vector<GgufPair> metadata;  // keys are unique
  std::vector<TensorInfo> tensors;

  const GgufPair* Find(std::string_view key) const;
};

// Checks everything about a part but how it fits the others. `name` is what errors call the file.
Result<GgufPart> ReadGgufPart(std::span<const std::byte> bytes, const std::string& name);

// "dir/name-00002-of-00003.gguf" is part 2 of 3 of "dir/name".
struct GgufPartName {
  std::string stem;
  int number = 0;  // from 1
  int count = 0;

  std::string PathOf(int part_number) const;
};
// Nothing if the path does not end like that of a part.
std::optional<GgufPartName> ParseGgufPartName(std::string_view path);

class GgufParser {
 public:
  // Adds part number file.parts_.size() or, with `parts` = 1, the only one. `mapped_name` is what
  // errors call it.
  static Result<GgufFile> FromFiles(const std::string& path);
  static Result<GgufFile> FromBytes(std::span<const std::byte> bytes, const std::string& name);

 private:
  struct PartSource {
    std::string name;
    std::span<const std::byte> bytes;
  };
  // Checks that the parts fit together and fills all but parts_ of `file`.
  static Status Join(const std::vector<PartSource>& sources, GgufFile& file);
};

}  // namespace shoal
