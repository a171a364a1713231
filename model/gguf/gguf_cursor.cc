#include "model/gguf/gguf_cursor.h"

#include <fmt/format.h>

namespace shoal {

std::string Printable(std::string_view text) {
  constexpr size_t kMaxShown = 100;
  std::string shown;
  for (const char c : text.substr(0, kMaxShown)) {
    if (c >= ' ' && c <= '~') {
      shown += c;
    } else {
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  if (text.size() > kMaxShown) shown += "...";
  return shown;
}

std::string GgufField::ToString() const {
  if (parent == nullptr) return std::string(name);
  if (element >= 0) return fmt::format("{}[{}]", parent->ToString(), element);
  return fmt::format("{} {}", parent->ToString(), Printable(name));
}

Result<uint64_t> GgufCursor::Count(const GgufField& field, uint64_t limit,
                                   uint64_t min_item_bytes) {
  ASSIGN_OR_RETURN(const uint64_t count, Number<uint64_t>(field));
  if (count > limit) {
    return Invalid(field, fmt::format("{} is more than the limit of {}", count, limit));
  }
  if (count > remaining() / min_item_bytes) {
    return Invalid(field, fmt::format("{} items need at least {} bytes, {} are left in the file",
                                      count, count * min_item_bytes, remaining()));
  }
  return count;
}

Result<std::string_view> GgufCursor::String(const GgufField& field, uint64_t max_bytes) {
  const GgufField length_field(field, "length");
  ASSIGN_OR_RETURN(const uint64_t length, Number<uint64_t>(length_field));
  if (length > max_bytes) {
    return Invalid(length_field, fmt::format("{} is more than the limit of {}", length, max_bytes));
  }
  if (length > remaining()) return TooShort(field, length);
  const std::string_view text(reinterpret_cast<const char*>(bytes_.data() + position_), length);
  position_ += length;
  return text;
}

Error GgufCursor::Invalid(const GgufField& field, std::string_view detail) const {
  return InvalidArgument(fmt::format("{}: {}: {}", file_name_, field.ToString(), detail));
}

Error GgufCursor::NotSupported(const GgufField& field, std::string_view detail) const {
  return Unimplemented(fmt::format("{}: {}: {}", file_name_, field.ToString(), detail));
}

Error GgufCursor::TooShort(const GgufField& field, uint64_t needed_bytes) const {
  return Invalid(field, fmt::format("needs {} bytes at offset {}, but the file ends at {}",
                                    needed_bytes, position_, bytes_.size()));
}

}  // namespace shoal
