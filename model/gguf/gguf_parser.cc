#include "model/gguf/gguf_parser.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <map>
#include <utility>

#include "model/gguf/gguf_cursor.h"

namespace shoal {

namespace {

constexpr std::string_view kSplitNumberKey = "split.no";  // from 0
constexpr std::string_view kSplitCountKey = "split.count";
constexpr std::string_view kSplitTensorsKey = "split.tensors.count";  // of all parts

// The value of a split.* key, if the part has it.
Result<std::optional<int64_t>> SplitValue(const GgufPart& part, const std::string& name,
                                          std::string_view key) {
  const GgufPair* pair = part.Find(key);
  if (pair == nullptr) return std::optional<int64_t>();
  const std::optional<int64_t> value = std::visit(
      [](const auto& v) -> std::optional<int64_t> {
        using T = std::remove_cvref_t<decltype(v)>;
        if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
          if (std::in_range<int64_t>(v)) return static_cast<int64_t>(v);
        }
        return std::nullopt;
      },
      pair->value);
  if (!value) {
    return InvalidArgument(fmt::format("{}: metadata {}: expected an integer, the file has {}",
                                       name, key, DescribeType(pair->value)));
  }
  return value;
}

// Checks the split.* keys of part `index` of `count` (named `name`).
Status CheckSplit(const GgufPart& part, const std::string& name, size_t index, size_t count) {
  const std::array<std::pair<std::string_view, size_t>, 2> expected = {
      {{kSplitCountKey, count}, {kSplitNumberKey, index}}};
  for (const auto& [key, wanted] : expected) {
    ASSIGN_OR_RETURN(const std::optional<int64_t> value, SplitValue(part, name, key));
    if (!value && count > 1) {
      return InvalidArgument(
          fmt::format("{}: metadata {}: missing, but by its name the file is part {} of {}", name,
                      key, index + 1, count));
    }
    // A model in one part may say split.count = 0, as older tools do.
    const bool says_one_part = count == 1 && value == 0;
    if (value && *value != static_cast<int64_t>(wanted) && !says_one_part) {
      return InvalidArgument(fmt::format(
          "{}: metadata {}: expected {} (by its name the file is part {} of {}), the file has {}",
          name, key, wanted, index + 1, count, *value));
    }
  }
  return OkStatus();
}

bool HasDigitsOnly(std::string_view text) {
  return text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

std::string GgufPartName::PathOf(int part_number) const {
  return fmt::format("{}-{:05d}-of-{:05d}.gguf", stem, part_number, count);
}

std::optional<GgufPartName> ParseGgufPartName(std::string_view path) {
  constexpr std::string_view kShape = "-00000-of-00000.gguf";
  if (path.size() <= kShape.size()) return std::nullopt;
  const std::string_view tail = path.substr(path.size() - kShape.size());
  const std::string_view number = tail.substr(1, 5);
  const std::string_view count = tail.substr(10, 5);
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || !tail.ends_with(".gguf") ||
      !HasDigitsOnly(number) || !HasDigitsOnly(count)) {
    return std::nullopt;
  }
  GgufPartName name{std::string(path.substr(0, path.size() - kShape.size()))};
  std::from_chars(number.data(), number.data() + number.size(), name.number);
  std::from_chars(count.data(), count.data() + count.size(), name.count);
  if (name.number < 1 || name.number > name.count) return std::nullopt;
  return name;
}

Result<GgufFile> GgufParser::FromFiles(const std::string& path) {
  std::vector<std::string> paths = {path};
  const std::optional<GgufPartName> part_name = ParseGgufPartName(path);
  if (part_name && part_name->count > 1) {
    if (static_cast<uint64_t>(part_name->count) > GgufLimits::kMaxParts) {
      return InvalidArgument(fmt::format("{}: {} parts are more than the limit of {}", path,
                                         part_name->count, GgufLimits::kMaxParts));
    }
    paths.clear();
    for (int i = 1; i <= part_name->count; ++i) paths.push_back(part_name->PathOf(i));
  }
  GgufFile file;
  std::vector<PartSource> sources;
  for (size_t i = 0; i < paths.size(); ++i) {
    auto mapped = MappedFile::Open(paths[i]);
    if (!mapped.ok()) {
      return paths.size() == 1
                 ? mapped.error()
                 : mapped.error().WithContext(fmt::format("part {} of {}", i + 1, paths.size()));
    }
    sources.push_back({paths[i], mapped->bytes()});
    file.parts_.push_back(std::move(mapped).value());
  }
  file.path_ = path;
  RETURN_IF_ERROR(Join(sources, file));
  return file;
}

Result<GgufFile> GgufParser::FromBytes(std::span<const std::byte> bytes, const std::string& name) {
  GgufFile file;
  file.path_ = name;
  RETURN_IF_ERROR(Join({{name, bytes}}, file));
  return file;
}

Status GgufParser::Join(const std::vector<PartSource>& sources, GgufFile& file) {
  // Of every key so far: its bytes in the file, and the part that has it.
  std::map<std::string_view, std::pair<std::span<const std::byte>, size_t>> known;
  std::optional<int64_t> expected_tensors;
  for (size_t i = 0; i < sources.size(); ++i) {
    const auto& [name, bytes] = sources[i];
    ASSIGN_OR_RETURN(GgufPart part, ReadGgufPart(bytes, name));
    if (i == 0) file.version_ = part.version;
    if (part.version != file.version_) {
      return InvalidArgument(fmt::format("{}: version: {}, but {} has {}", name, part.version,
                                         sources[0].name, file.version_));
    }
    RETURN_IF_ERROR(CheckSplit(part, name, i, sources.size()));
    ASSIGN_OR_RETURN(const std::optional<int64_t> tensors,
                     SplitValue(part, name, kSplitTensorsKey));
    if (tensors && expected_tensors && *tensors != *expected_tensors) {
      return InvalidArgument(fmt::format("{}: metadata {}: {}, but an earlier part has {}", name,
                                         kSplitTensorsKey, *tensors, *expected_tensors));
    }
    if (tensors) expected_tensors = tensors;
    for (GgufPair& pair : part.metadata) {
      const auto [other, is_new] = known.emplace(pair.key, std::pair(pair.encoded, i));
      const auto& [encoded, other_part] = other->second;
      if (is_new) {
        file.metadata_.emplace(pair.key, std::move(pair.value));
      } else if (!pair.key.starts_with("split.") &&
                 !std::equal(encoded.begin(), encoded.end(), pair.encoded.begin(),
                             pair.encoded.end())) {
        return InvalidArgument(fmt::format("{}: metadata {}: its value differs from that in {}",
                                           name, Printable(pair.key), sources[other_part].name));
      }
    }
    for (TensorInfo& tensor : part.tensors) {
      tensor.part = static_cast<int>(i);
      file.tensors_.push_back(std::move(tensor));
    }
    file.file_bytes_ += static_cast<int64_t>(bytes.size());
  }
  if (expected_tensors && *expected_tensors != static_cast<int64_t>(file.tensors_.size())) {
    return InvalidArgument(fmt::format("{}: metadata {}: {}, but the {} part(s) have {} tensors",
                                       sources[0].name, kSplitTensorsKey, *expected_tensors,
                                       sources.size(), file.tensors_.size()));
  }
  for (size_t i = 0; i < file.tensors_.size(); ++i) {
    const TensorInfo& tensor = file.tensors_[i];
    const auto [other, is_new] = file.tensor_index_.emplace(tensor.name, i);
    if (!is_new) {
      const TensorInfo& first = file.tensors_[other->second];
      return InvalidArgument(fmt::format("{}: tensor {}: the name is there already, in {}",
                                         sources[static_cast<size_t>(tensor.part)].name,
                                         Printable(tensor.name),
                                         sources[static_cast<size_t>(first.part)].name));
    }
  }
  return OkStatus();
}

}  // namespace shoal
