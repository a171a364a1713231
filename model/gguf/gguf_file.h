// A GGUF model file (version 2 or 3, one or several parts), mapped and fully checked.
//
// Open() checks every count, length, offset, alignment and type against the size of the file and
// the limits below; after it succeeds no caller needs to check again: every TensorInfo's bytes lie
// inside a mapped part, tensors of one part do not overlap, names are unique, and rows are whole
// blocks. Damaged or hostile input gives an Error that names the file, the field and the two values
// that disagree; it never crashes, and never allocates more than a small multiple of the file.
//
// Several parts ("name-00001-of-00003.gguf"): give any part; the others are found beside it by the
// pattern, and split.count, split.no and split.tensors.count are checked.
//
// Thread rule: immutable after Open; safe from any thread. Spans and string_views handed out live
// as long as the GgufFile. Source: the GGUF specification (github.com/ggml-org/ggml, docs/gguf.md).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "model/gguf/tensor_type.h"

namespace shoal {

// Limits of what a file may hold; each is several times what the largest published models use.
struct GgufLimits {
  static constexpr uint64_t kMaxTensors = 1 << 17;
  static constexpr uint64_t kMaxMetadataPairs = 1 << 16;
  static constexpr uint64_t kMaxKeyBytes = 65'535;       // the specification's own limit
  static constexpr uint64_t kMaxTensorNameBytes = 256;   // the specification says 64
  static constexpr uint64_t kMaxStringBytes = 64 << 20;  // a chat template or a licence text
  static constexpr uint64_t kMaxArrayElements = 1 << 24;
  static constexpr int kMaxArrayDepth = 4;
  static constexpr uint32_t kMaxDimensions = 4;
  static constexpr uint64_t kMaxAlignment = 1 << 20;
  static constexpr uint64_t kMaxParts = 1024;
};

struct GgufArray;

// A metadata value as it stands in the file. Strings are views into the mapped file and are not
// promised to be valid UTF-8.
using GgufValue = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool,
                               std::string_view, GgufArray, uint64_t, int64_t, double>;

struct GgufArray {
  // One alternative per element type; nested arrays are the last.
  std::variant<std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>,
               std::vector<int16_t>, std::vector<uint32_t>, std::vector<int32_t>,
               std::vector<float>, std::vector<bool>, std::vector<std::string_view>,
               std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>,
               std::vector<GgufArray>>
      elements;
};

struct TensorInfo {
  std::string name;
  TensorType type = TensorType::kF32;
  // Fastest-moving dimension first, as in the file: a weight [rows, cols] has shape {cols, rows}.
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;  // in the mapped part; empty: they are not here
  int part = 0;

  int64_t cols() const { return shape.empty() ? 1 : shape[0]; }
  // Product of all dimensions but the first.
  int64_t rows() const;
  int64_t values() const { return cols() * rows(); }
};

class GgufFile {
 public:
  // Errors: kNotFound (no such file), kInvalidArgument (not GGUF, a limit, a field that disagrees),
  // kUnimplemented (a GGUF version or tensor type that this build does not support; the message
  // lists what is supported).
  static Result<GgufFile> Open(const std::string& path);

  // Checks `bytes` as a single-part file without touching the disk. `bytes` outlives the result.
  // For tests and fuzzing.
  static Result<GgufFile> Parse(std::span<const std::byte> bytes, const std::string& name);

  // A model that is not a file here: metadata pairs as they stand in a file, one after the other in
  // ascending order of their keys, and tensors whose bytes are not known yet. `name` is what errors
  // call it. Errors: as of Open.
  static Result<GgufFile> FromPieces(std::string metadata, std::vector<TensorInfo> tensors,
                                     const std::string& name);
  // Says where the bytes of each tensor of such a model are (empty: not here). `owner` keeps them
  // mapped; it lives as long as the GgufFile. REQUIRES a span for each of tensors(), of its size.
  void SetBytes(std::span<const std::span<const std::byte>> bytes,
                std::shared_ptr<const void> owner);

  const std::string& path() const { return path_; }
  uint32_t version() const { return version_; }
  int64_t file_bytes() const { return file_bytes_; }  // of all parts
  int parts() const { return static_cast<int>(parts_.size()); }
  std::vector<FileStamp> stamps() const;  // of all parts
  bool is_untouched() const;              // whether no part's stamp has changed since it was opened

  // Sorted by key.
  const std::map<std::string, GgufValue, std::less<>>& metadata() const { return metadata_; }
  // In file order; of several parts, in part order.
  std::span<const TensorInfo> tensors() const { return tensors_; }
  // Null if there is none of that name.
  const TensorInfo* FindTensor(std::string_view name) const;

  // Typed look-ups. Numbers convert between integer widths where the value fits. kNotFound if the
  // key is missing, kInvalidArgument (naming key and type found) if the type does not fit.
  bool Has(std::string_view key) const;
  Result<std::string_view> String(std::string_view key) const;
  Result<int64_t> Int(std::string_view key) const;
  Result<double> Float(std::string_view key) const;  // integers convert, too
  Result<bool> Bool(std::string_view key) const;
  Result<std::vector<std::string_view>> Strings(std::string_view key) const;
  Result<std::vector<int64_t>> Ints(std::string_view key) const;
  Result<std::vector<float>> Floats(std::string_view key) const;

  // The same with a default for a missing key; a value of the wrong type is still an error.
  Result<std::string_view> StringOr(std::string_view key, std::string_view fallback) const;
  Result<int64_t> IntOr(std::string_view key, int64_t fallback) const;
  Result<double> FloatOr(std::string_view key, double fallback) const;
  Result<bool> BoolOr(std::string_view key, bool fallback) const;

  // A copy of `bytes`, which are a tensor's or a part of them; of an opened file, read from there,
  // as MappedFile::Read does, and with its errors.
  Result<std::string> Read(std::span<const std::byte> bytes) const;
  // Lets the kernel drop the resident pages of bytes of a tensor that have been copied elsewhere.
  // Safe from any thread.
  void Release(std::span<const std::byte> bytes) const;

 private:
  friend class GgufParser;
  GgufFile() = default;

  Result<const GgufValue*> Value(std::string_view key) const;
  Error WrongType(std::string_view key, std::string_view expected, const GgufValue& value) const;

  std::string path_;
  uint32_t version_ = 0;
  int64_t file_bytes_ = 0;
  std::vector<MappedFile> parts_;                        // of Open()
  std::shared_ptr<const std::string> encoded_metadata_;  // of FromPieces(): metadata_ views it
  std::shared_ptr<const void> owner_;                    // of SetBytes()
  std::map<std::string, GgufValue, std::less<>> metadata_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string_view, size_t> tensor_index_;  // keys view tensors_' names
};

}  // namespace shoal
