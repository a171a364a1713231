// Reads the little-endian fields of a GGUF file in order. Every read is checked against the bytes
// that are left and, for counts and lengths, a named limit; an error names file and field.
// A cursor that has failed must not be read again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace shoal {

// Text from a file as errors show it: unprintable bytes escaped, cut after 100 characters.
std::string Printable(std::string_view text);

// The name of a field, put together only when an error needs it. Parents outlive their children.
struct GgufField {
  GgufField(std::string_view field_name) : name(field_name) {}  // NOLINT: implicit
  GgufField(const char* field_name) : name(field_name) {}       // NOLINT: implicit
  GgufField(const GgufField& field_parent, std::string_view field_name)
      : name(field_name), parent(&field_parent) {}
  GgufField(const GgufField& field_parent, uint64_t array_element)
      : parent(&field_parent), element(static_cast<int64_t>(array_element)) {}

  // "metadata general.name", "metadata tokenizer.ggml.tokens[17] length".
  std::string ToString() const;

  std::string_view name;
  const GgufField* parent = nullptr;
  int64_t element = -1;  // index in the parent, an array; -1: a named field
};

class GgufCursor {
 public:
  // `bytes` is the whole file; `file_name` is what errors call it. Both outlive the cursor.
  GgufCursor(std::span<const std::byte> bytes, std::string_view file_name)
      : bytes_(bytes), file_name_(file_name) {}

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }

  template <typename T>
  Result<T> Number(const GgufField& field) {
    if (remaining() < sizeof(T)) return TooShort(field, sizeof(T));
    const T value = LoadLittleEndian<T>(bytes_.data() + position_);
    position_ += sizeof(T);
    return value;
  }

  // A 64-bit count of items that take at least `min_item_bytes` each. Errors: more than `limit`, or
  // more than the rest of the file can hold.
  Result<uint64_t> Count(const GgufField& field, uint64_t limit, uint64_t min_item_bytes);

  // A 64-bit length and as many bytes; the view points into the file.
  Result<std::string_view> String(const GgufField& field, uint64_t max_bytes);

  // `count` numbers, which the caller has checked against remaining().
  template <typename T>
  void CopyNumbers(std::span<T> out) {
    CHECK(out.size_bytes() <= remaining(), "the caller checked the count");
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + position_, out.size_bytes());
    position_ += out.size_bytes();
  }

  // An error that names file and field.
  Error Invalid(const GgufField& field, std::string_view detail) const;
  Error NotSupported(const GgufField& field, std::string_view detail) const;

 private:
  Error TooShort(const GgufField& field, uint64_t needed_bytes) const;

  std::span<const std::byte> bytes_;
  std::string_view file_name_;
  uint64_t position_ = 0;
};

}  // namespace shoal
