#include "model/gguf/gguf_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
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
  GgufParser parser;
  for (const std::string& part_path : paths) {
    auto mapped = MappedFile::Open(part_path);
    if (!mapped.ok()) {
      if (paths.size() == 1) return mapped.error();
      return mapped.error().WithContext(
          fmt::format("part {} of {}", parser.sources_.size() + 1, paths.size()));
    }
    parser.sources_.push_back({part_path, mapped->bytes()});
    parser.file_.parts_.push_back(std::move(mapped).value());
  }
  parser.file_.path_ = path;
  RETURN_IF_ERROR(parser.ReadParts());
  return std::move(parser.file_);
}

Result<GgufFile> GgufParser::FromBytes(std::span<const std::byte> bytes, const std::string& name) {
  GgufParser parser;
  parser.sources_.push_back({name, bytes});
  parser.file_.path_ = name;
  RETURN_IF_ERROR(parser.ReadParts());
  return std::move(parser.file_);
}

Result<GgufFile> GgufParser::FromPieces(std::string metadata, std::vector<TensorInfo> tensors,
                                        const std::string& name) {
  GgufParser parser;
  GgufFile& file = parser.file_;
  file.path_ = name;
  file.encoded_metadata_ = std::make_shared<const std::string>(std::move(metadata));
  const auto bytes = std::as_bytes(std::span(*file.encoded_metadata_));
  parser.sources_.push_back({name, bytes});
  GgufCursor cursor(bytes, name);
  std::string_view last_key;
  for (uint64_t i = 0; cursor.remaining() > 0; ++i) {
    ASSIGN_OR_RETURN(GgufPair pair, ReadMetadataPair(cursor, bytes, i));
    if (i >= GgufLimits::kMaxMetadataPairs || pair.key <= last_key) {
      return cursor.Invalid(
          GgufField("metadata pair"),
          fmt::format("{} after {}: at most {} keys, in ascending order", Printable(pair.key),
                      Printable(last_key), GgufLimits::kMaxMetadataPairs));
    }
    last_key = pair.key;
    file.metadata_.emplace(pair.key, std::move(pair.value));
  }
  file.tensors_ = std::move(tensors);
  RETURN_IF_ERROR(parser.IndexTensors());
  return std::move(parser.file_);
}

Status GgufParser::ReadParts() {
  for (size_t i = 0; i < sources_.size(); ++i) {
    const auto& [name, bytes] = sources_[i];
    ASSIGN_OR_RETURN(GgufPart part, ReadGgufPart(bytes, name));
    if (i == 0) file_.version_ = part.version;
    if (part.version != file_.version_) {
      return InvalidArgument(fmt::format("{}: version: {}, but {} has {}", name, part.version,
                                         sources_[0].name, file_.version_));
    }
    RETURN_IF_ERROR(CheckSplit(part, name, i, sources_.size()));
    RETURN_IF_ERROR(CheckTensorCount(part, i));
    RETURN_IF_ERROR(AddMetadata(part, i));
    for (TensorInfo& tensor : part.tensors) {
      tensor.part = static_cast<int>(i);
      file_.tensors_.push_back(std::move(tensor));
    }
    file_.file_bytes_ += static_cast<int64_t>(bytes.size());
  }
  if (stated_tensors_ && *stated_tensors_ != static_cast<int64_t>(file_.tensors_.size())) {
    return InvalidArgument(fmt::format("{}: metadata {}: {}, but {} part(s) have {} tensors",
                                       sources_[0].name, kSplitTensorsKey, *stated_tensors_,
                                       sources_.size(), file_.tensors_.size()));
  }
  return IndexTensors();
}

Status GgufParser::CheckTensorCount(const GgufPart& part, size_t index) {
  const std::string& name = sources_[index].name;
  ASSIGN_OR_RETURN(const std::optional<int64_t> tensors, SplitValue(part, name, kSplitTensorsKey));
  if (tensors && stated_tensors_ && *tensors != *stated_tensors_) {
    return InvalidArgument(fmt::format("{}: metadata {}: {}, but an earlier part has {}", name,
                                       kSplitTensorsKey, *tensors, *stated_tensors_));
  }
  if (tensors) stated_tensors_ = tensors;
  return OkStatus();
}

Status GgufParser::AddMetadata(GgufPart& part, size_t index) {
  const std::string& name = sources_[index].name;
  for (GgufPair& pair : part.metadata) {
    const auto [entry, is_new] = known_pairs_.emplace(pair.key, KnownPair{pair.encoded, index});
    const KnownPair& known = entry->second;
    if (is_new) {
      file_.metadata_.emplace(pair.key, std::move(pair.value));
    } else if (known.part == index) {
      return InvalidArgument(
          fmt::format("{}: metadata {}: the key is there twice", name, Printable(pair.key)));
    } else if (!pair.key.starts_with("split.") &&
               !std::equal(known.encoded.begin(), known.encoded.end(), pair.encoded.begin(),
                           pair.encoded.end())) {
      return InvalidArgument(fmt::format("{}: metadata {}: its value differs from that in {}", name,
                                         Printable(pair.key), sources_[known.part].name));
    }
  }
  return OkStatus();
}

Status GgufParser::IndexTensors() {
  for (size_t i = 0; i < file_.tensors_.size(); ++i) {
    const TensorInfo& tensor = file_.tensors_[i];
    const auto [entry, is_new] = file_.tensor_index_.emplace(tensor.name, i);
    if (!is_new) {
      const TensorInfo& first = file_.tensors_[entry->second];
      return InvalidArgument(fmt::format("{}: tensor {}: the name is there twice, first in {}",
                                         sources_[static_cast<size_t>(tensor.part)].name,
                                         Printable(tensor.name),
                                         sources_[static_cast<size_t>(first.part)].name));
    }
  }
  return OkStatus();
}

}  // namespace shoal
