#include "model/gguf/gguf_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <type_traits>
#include <utility>

#include "model/gguf/gguf_metadata.h"
#include "model/gguf/gguf_parser.h"

namespace shoal {

namespace {

template <typename T>
constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

}  // namespace

int64_t TensorInfo::rows() const {
  int64_t rows = 1;
  for (size_t i = 1; i < shape.size(); ++i) rows *= shape[i];
  return rows;
}

Result<GgufFile> GgufFile::Open(const std::string& path) { return GgufParser::FromFiles(path); }

Result<GgufFile> GgufFile::Parse(std::span<const std::byte> bytes, const std::string& name) {
  return GgufParser::FromBytes(bytes, name);
}

Result<GgufFile> GgufFile::FromPieces(std::string metadata, std::vector<TensorInfo> tensors,
                                      const std::string& name) {
  return GgufParser::FromPieces(std::move(metadata), std::move(tensors), name);
}

void GgufFile::SetBytes(std::span<const std::span<const std::byte>> bytes,
                        std::shared_ptr<const void> owner) {
  CHECK(bytes.size() == tensors_.size(), "bytes of each tensor");
  for (size_t i = 0; i < bytes.size(); ++i) tensors_[i].bytes = bytes[i];
  owner_ = std::move(owner);
}

const TensorInfo* GgufFile::FindTensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

void GgufFile::Release(std::span<const std::byte> bytes) const {
  const bool mapped = !parts_.empty() || owner_ != nullptr;
  if (mapped) ReleasePages(bytes);
}

Result<std::string> GgufFile::Read(std::span<const std::byte> bytes) const {
  const auto holds = [&](const MappedFile& part) {
    return !std::less()(bytes.data(), part.bytes().data()) &&
           std::less()(bytes.data(), part.bytes().data() + part.bytes().size());
  };
  const auto part = std::find_if(parts_.begin(), parts_.end(), holds);
  if (part != parts_.end()) return part->Read(bytes);
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

bool GgufFile::is_untouched() const {
  return std::all_of(parts_.begin(), parts_.end(),
                     [](const MappedFile& part) { return part.is_untouched(); });
}

std::vector<FileStamp> GgufFile::stamps() const {
  std::vector<FileStamp> stamps;
  for (const MappedFile& part : parts_) stamps.push_back(part.stamp());
  return stamps;
}

bool GgufFile::Has(std::string_view key) const { return metadata_.contains(key); }

Result<const GgufValue*> GgufFile::Value(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) {
    return NotFound(fmt::format("{}: metadata {}: missing", path_, key));
  }
  return &found->second;
}

Error GgufFile::WrongType(std::string_view key, std::string_view expected,
                          const GgufValue& value) const {
  return InvalidArgument(fmt::format("{}: metadata {}: expected {}, the file has {}", path_, key,
                                     expected, DescribeType(value)));
}

Result<std::string_view> GgufFile::String(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, Value(key));
  const auto* text = std::get_if<std::string_view>(value);
  if (text == nullptr) return WrongType(key, "string", *value);
  return *text;
}

Result<int64_t> GgufFile::Int(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, Value(key));
  return std::visit(
      [&](const auto& number) -> Result<int64_t> {
        using T = std::remove_cvref_t<decltype(number)>;
        if constexpr (kIsInteger<T>) {
          if (std::in_range<int64_t>(number)) return static_cast<int64_t>(number);
          return InvalidArgument(
              fmt::format("{}: metadata {}: {} does not fit int64", path_, key, number));
        } else {
          return WrongType(key, "an integer", *value);
        }
      },
      *value);
}

Result<double> GgufFile::Float(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, Value(key));
  return std::visit(
      [&](const auto& number) -> Result<double> {
        using T = std::remove_cvref_t<decltype(number)>;
        if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
          return static_cast<double>(number);
        } else {
          return WrongType(key, "a number", *value);
        }
      },
      *value);
}

Result<bool> GgufFile::Bool(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, Value(key));
  const auto* flag = std::get_if<bool>(value);
  if (flag == nullptr) return WrongType(key, "bool", *value);
  return *flag;
}

Result<std::vector<std::string_view>> GgufFile::Strings(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, Value(key));
  const auto* array = std::get_if<GgufArray>(value);
  const auto* strings =
      array == nullptr ? nullptr : std::get_if<std::vector<std::string_view>>(&array->elements);
  if (strings == nullptr) return WrongType(key, "array of string", *value);
  return *strings;
}

Result<std::vector<int64_t>> GgufFile::Ints(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, Value(key));
  const auto* array = std::get_if<GgufArray>(value);
  if (array == nullptr) return WrongType(key, "array of integers", *value);
  return std::visit(
      [&](const auto& elements) -> Result<std::vector<int64_t>> {
        using T = typename std::remove_cvref_t<decltype(elements)>::value_type;
        if constexpr (kIsInteger<T>) {
          std::vector<int64_t> numbers;
          numbers.reserve(elements.size());
          for (const T element : elements) {
            if (!std::in_range<int64_t>(element)) {
              return InvalidArgument(fmt::format("{}: metadata {}[{}]: {} does not fit int64",
                                                 path_, key, numbers.size(), element));
            }
            numbers.push_back(static_cast<int64_t>(element));
          }
          return numbers;
        } else {
          return WrongType(key, "array of integers", *value);
        }
      },
      array->elements);
}

Result<std::vector<float>> GgufFile::Floats(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, Value(key));
  const auto* array = std::get_if<GgufArray>(value);
  if (array == nullptr) return WrongType(key, "array of floats", *value);
  return std::visit(
      [&](const auto& elements) -> Result<std::vector<float>> {
        using T = typename std::remove_cvref_t<decltype(elements)>::value_type;
        if constexpr (std::is_floating_point_v<T>) {
          return std::vector<float>(elements.begin(), elements.end());
        } else {
          return WrongType(key, "array of floats", *value);
        }
      },
      array->elements);
}

Result<std::string_view> GgufFile::StringOr(std::string_view key, std::string_view fallback) const {
  if (!Has(key)) return fallback;
  return String(key);
}

Result<int64_t> GgufFile::IntOr(std::string_view key, int64_t fallback) const {
  if (!Has(key)) return fallback;
  return Int(key);
}

Result<double> GgufFile::FloatOr(std::string_view key, double fallback) const {
  if (!Has(key)) return fallback;
  return Float(key);
}

Result<bool> GgufFile::BoolOr(std::string_view key, bool fallback) const {
  if (!Has(key)) return fallback;
  return Bool(key);
}

}  // namespace shoal
