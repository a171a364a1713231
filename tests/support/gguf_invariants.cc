#include "tests/support/gguf_invariants.h"

#include <set>
#include <utility>
#include <vector>

#include "base/sha256.h"

namespace shoal {

namespace {

// That `part` lies in `whole`.
bool Inside(const void* part, size_t size, std::span<const std::byte> whole) {
  const auto begin = reinterpret_cast<uintptr_t>(part);
  const auto whole_begin = reinterpret_cast<uintptr_t>(whole.data());
  return begin >= whole_begin && begin + size <= whole_begin + whole.size();
}

bool TextInside(std::string_view text, std::span<const std::byte> whole) {
  return Inside(text.data(), text.size(), whole);
}

// Whether all strings in `array` lie in the file and its arrays are not nested too deep.
bool GoodArray(const GgufArray& array, std::span<const std::byte> bytes, int depth) {
  if (depth > GgufLimits::kMaxArrayDepth) return false;
  if (const auto* strings = std::get_if<std::vector<std::string_view>>(&array.elements)) {
    for (const std::string_view text : *strings) {
      if (!TextInside(text, bytes)) return false;
    }
  }
  if (const auto* arrays = std::get_if<std::vector<GgufArray>>(&array.elements)) {
    for (const GgufArray& inner : *arrays) {
      if (!GoodArray(inner, bytes, depth + 1)) return false;
    }
  }
  return true;
}

std::string MetadataViolation(const GgufFile& file, std::span<const std::byte> bytes) {
  for (const auto& [key, value] : file.metadata()) {
    if (key.empty() || key.size() > GgufLimits::kMaxKeyBytes) return "the size of key " + key;
    if (!file.Has(key)) return "Has() does not know " + key;
    const auto* text = std::get_if<std::string_view>(&value);
    if (text != nullptr && !TextInside(*text, bytes)) return key + " lies outside the file";
    const auto* array = std::get_if<GgufArray>(&value);
    if (array != nullptr && !GoodArray(*array, bytes, 1)) return key + " is a bad array";
    // A look-up as another type is an error, never a crash.
    const int fits = file.Int(key).ok() + file.Float(key).ok() + file.Bool(key).ok() +
                     file.String(key).ok() + file.Strings(key).ok() + file.Ints(key).ok() +
                     file.Floats(key).ok();
    if (fits > 2) return key + " has too many types";
  }
  return "";
}

std::string TensorViolation(const GgufFile& file, const TensorInfo& tensor,
                            std::span<const std::byte> bytes) {
  const std::string& name = tensor.name;
  if (name.empty() || name.size() > GgufLimits::kMaxTensorNameBytes) return "the size of a name";
  if (file.FindTensor(name) != &tensor) return "FindTensor() finds another " + name;
  if (tensor.shape.size() > GgufLimits::kMaxDimensions) return name + " has too many dimensions";
  for (const int64_t dimension : tensor.shape) {
    if (dimension < 1) return name + " has an empty dimension";
  }
  const TensorTypeInfo& type = InfoOf(tensor.type);
  if (tensor.cols() % type.block_values != 0) return name + " has rows of broken blocks";
  const auto size = static_cast<int64_t>(tensor.bytes.size());
  if (size != RowBytes(tensor.type, tensor.cols()) * tensor.rows()) return "the size of " + name;
  if (!Inside(tensor.bytes.data(), tensor.bytes.size(), bytes)) return name + " is outside";
  return "";
}

}  // namespace

std::string GgufViolation(const GgufFile& file, std::span<const std::byte> bytes) {
  if (file.version() != 2 && file.version() != 3) return "version";
  if (file.file_bytes() != static_cast<int64_t>(bytes.size())) return "file_bytes()";
  std::string violation = MetadataViolation(file, bytes);
  std::set<std::string> names;
  std::set<std::pair<const std::byte*, const std::byte*>> ranges;
  for (const TensorInfo& tensor : file.tensors()) {
    if (!violation.empty()) return violation;
    violation = TensorViolation(file, tensor, bytes);
    if (!names.insert(tensor.name).second) violation = "two tensors " + tensor.name;
    ranges.emplace(tensor.bytes.data(), tensor.bytes.data() + tensor.bytes.size());
    Sha256Of(tensor.bytes);  // reads them all
  }
  const std::byte* end = nullptr;
  for (const auto& [range_begin, range_end] : ranges) {
    if (range_begin < end) return "overlapping tensors";
    end = range_end;
  }
  if (ranges.size() != file.tensors().size()) return "two tensors at one place";
  return violation;
}

}  // namespace shoal
