#include "model/gguf/gguf_metadata.h"

#include <fmt/format.h>

#include <array>
#include <type_traits>
#include <utility>
#include <variant>

namespace shoal {

namespace {

// The numbers of value types in the file are the indices of GgufValue's alternatives.
constexpr std::array<std::string_view, std::variant_size_v<GgufValue>> kTypeNames = {
    "uint8", "int8",   "uint16", "int16",  "uint32", "int32",  "float32",
    "bool",  "string", "array",  "uint64", "int64",  "float64"};
static_assert(std::is_same_v<std::variant_alternative_t<4, GgufValue>, uint32_t> &&
              std::is_same_v<std::variant_alternative_t<9, GgufValue>, GgufArray> &&
              std::is_same_v<std::variant_alternative_t<12, GgufValue>, double>);

constexpr uint64_t kArrayHeaderBytes = sizeof(uint32_t) + sizeof(uint64_t);

// The fewest bytes that a T takes in the file.
template <typename T>
constexpr uint64_t MinBytes() {
  if constexpr (std::is_same_v<T, bool>) return 1;
  if constexpr (std::is_same_v<T, std::string_view>) return sizeof(uint64_t);
  if constexpr (std::is_same_v<T, GgufArray>) return kArrayHeaderBytes;
  return sizeof(T);
}

Result<uint32_t> ReadTypeNumber(GgufCursor& cursor, const GgufField& field) {
  ASSIGN_OR_RETURN(const uint32_t type, cursor.Number<uint32_t>(field));
  if (type >= kTypeNames.size()) {
    return cursor.Invalid(
        field, fmt::format("{} is not a metadata type (0 to {})", type, kTypeNames.size() - 1));
  }
  return type;
}

Result<GgufArray> ReadArray(GgufCursor& cursor, const GgufField& field, int depth);

template <typename T>
Result<T> ReadValue(GgufCursor& cursor, const GgufField& field, int depth) {
  if constexpr (std::is_same_v<T, bool>) {
    ASSIGN_OR_RETURN(const uint8_t byte, cursor.Number<uint8_t>(field));
    if (byte > 1) {
      return cursor.Invalid(field, fmt::format("a bool is 0 or 1, the file has {}", byte));
    }
    return byte == 1;
  } else if constexpr (std::is_same_v<T, std::string_view>) {
    return cursor.String(field, GgufLimits::kMaxStringBytes);
  } else if constexpr (std::is_same_v<T, GgufArray>) {
    return ReadArray(cursor, field, depth + 1);
  } else {
    return cursor.Number<T>(field);
  }
}

template <typename T>
Result<GgufArray> ReadElements(GgufCursor& cursor, const GgufField& field, int depth) {
  ASSIGN_OR_RETURN(const uint64_t count,
                   cursor.Count(GgufField(field, "element count"), GgufLimits::kMaxArrayElements,
                                MinBytes<T>()));
  std::vector<T> elements;
  if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
    elements.resize(count);
    cursor.CopyNumbers(std::span(elements));
  } else {
    elements.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      ASSIGN_OR_RETURN(T element, ReadValue<T>(cursor, GgufField(field, i), depth));
      elements.push_back(std::move(element));
    }
  }
  return GgufArray{std::move(elements)};
}

using ArrayReader = Result<GgufArray> (*)(GgufCursor&, const GgufField&, int);

template <size_t... kIndex>
constexpr auto ArrayReaders(std::index_sequence<kIndex...>) {
  return std::array<ArrayReader, sizeof...(kIndex)>{
      &ReadElements<std::variant_alternative_t<kIndex, GgufValue>>...};
}

Result<GgufArray> ReadArray(GgufCursor& cursor, const GgufField& field, int depth) {
  static constexpr auto kReaders =
      ArrayReaders(std::make_index_sequence<std::variant_size_v<GgufValue>>());
  if (depth > GgufLimits::kMaxArrayDepth) {
    return cursor.Invalid(
        field, fmt::format("arrays are nested more than {} deep", GgufLimits::kMaxArrayDepth));
  }
  ASSIGN_OR_RETURN(const uint32_t type, ReadTypeNumber(cursor, GgufField(field, "element type")));
  return kReaders[type](cursor, field, depth);
}

using ValueReader = Result<GgufValue> (*)(GgufCursor&, const GgufField&);

template <typename T>
Result<GgufValue> ReadAsValue(GgufCursor& cursor, const GgufField& field) {
  ASSIGN_OR_RETURN(T value, ReadValue<T>(cursor, field, 0));
  return GgufValue(std::in_place_type<T>, std::move(value));
}

template <size_t... kIndex>
constexpr auto ValueReaders(std::index_sequence<kIndex...>) {
  return std::array<ValueReader, sizeof...(kIndex)>{
      &ReadAsValue<std::variant_alternative_t<kIndex, GgufValue>>...};
}

template <typename T>
constexpr std::string_view NameOf() {
  return kTypeNames[GgufValue(std::in_place_type<T>).index()];
}

}  // namespace

Result<GgufPair> ReadMetadataPair(GgufCursor& cursor, std::span<const std::byte> file,
                                  uint64_t index) {
  static constexpr auto kReaders =
      ValueReaders(std::make_index_sequence<std::variant_size_v<GgufValue>>());
  const GgufField pairs("metadata pair");
  const GgufField pair(pairs, index);
  const GgufField key_field(pair, "key");
  GgufPair read;
  ASSIGN_OR_RETURN(read.key, cursor.String(key_field, GgufLimits::kMaxKeyBytes));
  if (read.key.empty()) return cursor.Invalid(key_field, "a key has at least one byte");

  const GgufField metadata("metadata");
  const GgufField field(metadata, read.key);
  const uint64_t begin = cursor.position();
  ASSIGN_OR_RETURN(const uint32_t type, ReadTypeNumber(cursor, GgufField(field, "type")));
  ASSIGN_OR_RETURN(read.value, kReaders[type](cursor, field));
  read.encoded = file.subspan(begin, cursor.position() - begin);
  return read;
}

std::string_view ElementTypeName(const GgufArray& array) {
  return std::visit(
      [](const auto& elements) {
        return NameOf<typename std::remove_cvref_t<decltype(elements)>::value_type>();
      },
      array.elements);
}

std::string DescribeType(const GgufArray& array) {
  return fmt::format("array of {}", ElementTypeName(array));
}

std::string DescribeType(const GgufValue& value) {
  if (const auto* array = std::get_if<GgufArray>(&value)) return DescribeType(*array);
  return std::string(kTypeNames[value.index()]);
}

}  // namespace shoal
