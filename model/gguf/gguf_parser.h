// Reads and checks the parts of a model and puts a GgufFile together. Used by GgufFile only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/gguf/gguf_cursor.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/gguf_metadata.h"

namespace shoal {

// One part of a model after its own checks; views point into its bytes.
struct GgufPart {
  uint32_t version = 0;
  std::vector<GgufPair> metadata;
  std::vector<TensorInfo> tensors;

  const GgufPair* Find(std::string_view key) const;
};

// Checks everything about a part but that keys and names are unique and that the parts fit
// together. `name` is what errors call the file.
Result<GgufPart> ReadGgufPart(std::span<const std::byte> bytes, const std::string& name);

// A tensor as its entry describes it, without the bytes themselves.
struct GgufTensorHead {
  TensorInfo info;
  uint64_t bytes = 0;
};
// Name, shape and type, with which the entry of tensor `index` begins.
Result<GgufTensorHead> ReadTensorHead(GgufCursor& cursor, uint64_t index);

// "dir/name-00002-of-00003.gguf" is part 2 of 3 of "dir/name".
struct GgufPartName {
  std::string stem;
  int number = 0;  // from 1
  int count = 0;

  std::string PathOf(int part_number) const;
};
// Nothing if the path does not end like that of a part.
std::optional<GgufPartName> ParseGgufPartName(std::string_view path);

// Joins the parts of a model. Belongs to the call that makes it.
class GgufParser {
 public:
  static Result<GgufFile> FromFiles(const std::string& path);
  static Result<GgufFile> FromBytes(std::span<const std::byte> bytes, const std::string& name);
  static Result<GgufFile> FromPieces(std::string metadata, std::vector<TensorInfo> tensors,
                                     const std::string& name);

 private:
  // Where a part comes from. Errors call it by its name.
  struct Source {
    std::string name;
    std::span<const std::byte> bytes;
  };
  // A pair that has been read: its bytes in the file, and the part it stands in.
  struct KnownPair {
    std::span<const std::byte> encoded;
    size_t part;
  };

  // Fills all but path_ and parts_ of file_.
  Status ReadParts();
  Status AddMetadata(GgufPart& part, size_t index);
  Status IndexTensors();
  Status CheckTensorCount(const GgufPart& part, size_t index);

  std::vector<Source> sources_;
  GgufFile file_;
  std::map<std::string_view, KnownPair> known_pairs_;
  std::optional<int64_t> stated_tensors_;  // split.tensors.count of the parts so far
};

}  // namespace shoal
