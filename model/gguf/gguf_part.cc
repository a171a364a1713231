#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "model/gguf/gguf_cursor.h"
#include "model/gguf/gguf_parser.h"

namespace shoal {

namespace {

constexpr uint32_t kOldestVersion = 2;
constexpr uint32_t kNewestVersion = 3;
constexpr uint64_t kDefaultAlignment = 32;
constexpr std::string_view kMagic = "GGUF";
constexpr std::string_view kSwappedMagic = "FUGG";

// The least bytes of a pair (key length, one byte of key, type, one byte of value) and of a
// tensor's entry (name length, one byte of name, dimension count, type, offset).
constexpr uint64_t kMinPairBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 4 + 8;

std::string_view HintAtContents(std::string_view start) {
  if (start.size() > 8 && start[8] == '{') return "; it looks like a safetensors file";
  if (start.starts_with("<")) return "; it looks like a web page";
  if (start.starts_with("version https://git-lfs")) {
    return "; it is a Git LFS pointer, the model itself was not downloaded";
  }
  if (start.starts_with("PK")) return "; it looks like a zip or PyTorch file";
  if (start.starts_with("lmgg") || start.starts_with("tjgg") || start.starts_with("fmgg")) {
    return "; it is from before GGUF, convert the model again";
  }
  return "";
}

// Magic and version. The cursor stands at the beginning of the file.
Result<uint32_t> ReadVersion(GgufCursor& cursor, std::span<const std::byte> file) {
  const std::string_view start(reinterpret_cast<const char*>(file.data()),
                               std::min<size_t>(file.size(), 32));
  const GgufField magic_field("magic");
  if (start.starts_with(kSwappedMagic)) {
    return cursor.NotSupported(magic_field,
                               "the file is big-endian; only little-endian files are supported");
  }
  if (!start.starts_with(kMagic)) {
    return cursor.Invalid(magic_field,
                          fmt::format("not a GGUF file (starts with \"{}\"){}",
                                      Printable(start.substr(0, 12)), HintAtContents(start)));
  }
  RETURN_IF_ERROR(cursor.Number<uint32_t>(magic_field));
  const GgufField field("version");
  ASSIGN_OR_RETURN(const uint32_t version, cursor.Number<uint32_t>(field));
  if (version > 0xffff && __builtin_bswap32(version) <= 0xffff) {
    return cursor.NotSupported(
        field, fmt::format("the file is big-endian (GGUF version {}); only little-endian files are "
                           "supported",
                           __builtin_bswap32(version)));
  }
  if (version < kOldestVersion || version > kNewestVersion) {
    return cursor.NotSupported(
        field, fmt::format("GGUF version {} is not supported; versions {} to {} are", version,
                           kOldestVersion, kNewestVersion));
  }
  return version;
}

// A tensor as its entry describes it; its bytes are not known to lie in the file yet.
struct TensorEntry : GgufTensorHead {
  uint64_t offset = 0;  // from the start of the data section
};

Status ReadShape(GgufCursor& cursor, const GgufField& tensor, GgufTensorHead& entry) {
  const GgufField count_field(tensor, "dimension count");
  ASSIGN_OR_RETURN(const uint32_t dimensions, cursor.Number<uint32_t>(count_field));
  if (dimensions > GgufLimits::kMaxDimensions) {
    return cursor.Invalid(count_field, fmt::format("{} is more than the limit of {}", dimensions,
                                                   GgufLimits::kMaxDimensions));
  }
  const GgufField shape_field(tensor, "dimension");
  int64_t values = 1;
  for (uint32_t i = 0; i < dimensions; ++i) {
    const GgufField field(shape_field, uint64_t{i});
    ASSIGN_OR_RETURN(const int64_t dimension, cursor.Number<int64_t>(field));
    if (dimension < 1) {
      return cursor.Invalid(field, fmt::format("{} is not a size of at least 1", dimension));
    }
    if (__builtin_mul_overflow(values, dimension, &values)) {
      return cursor.Invalid(field,
                            fmt::format("with {} the number of values passes 2^63", dimension));
    }
    entry.info.shape.push_back(dimension);
  }
  return OkStatus();
}

// The type, and with it the number of bytes.
Status ReadType(GgufCursor& cursor, const GgufField& tensor, GgufTensorHead& entry) {
  const GgufField field(tensor, "type");
  ASSIGN_OR_RETURN(const uint32_t number, cursor.Number<uint32_t>(field));
  const TensorTypeInfo* type = FindTensorType(number);
  if (type == nullptr) {
    return cursor.NotSupported(field,
                               fmt::format("{}; this build supports {}", DescribeTensorType(number),
                                           SupportedTensorTypes()));
  }
  entry.info.type = type->type;
  const int64_t cols = entry.info.cols();
  if (cols % type->block_values != 0) {
    return cursor.Invalid(tensor, fmt::format("rows of {} values are not a whole number of {} "
                                              "blocks of {}",
                                              cols, type->name, type->block_values));
  }
  int64_t bytes = 0;
  if (__builtin_mul_overflow(entry.info.values() / type->block_values, int64_t{type->block_bytes},
                             &bytes)) {
    return cursor.Invalid(tensor, fmt::format("{} values of type {} pass 2^63 bytes",
                                              entry.info.values(), type->name));
  }
  entry.bytes = static_cast<uint64_t>(bytes);
  return OkStatus();
}

Result<TensorEntry> ReadTensorEntry(GgufCursor& cursor, uint64_t index) {
  TensorEntry entry;
  ASSIGN_OR_RETURN(static_cast<GgufTensorHead&>(entry), ReadTensorHead(cursor, index));
  const GgufField tensors("tensor");
  const GgufField tensor(tensors, entry.info.name);
  ASSIGN_OR_RETURN(entry.offset, cursor.Number<uint64_t>(GgufField(tensor, "offset")));
  return entry;
}

Result<uint64_t> AlignmentOf(const GgufCursor& cursor, const GgufPart& part) {
  const GgufPair* found = part.Find("general.alignment");
  if (found == nullptr) return kDefaultAlignment;
  const GgufField field("metadata general.alignment");
  const auto* alignment = std::get_if<uint32_t>(&found->value);
  if (alignment == nullptr) {
    return cursor.Invalid(
        field, fmt::format("expected uint32, the file has {}", DescribeType(found->value)));
  }
  if (!std::has_single_bit(*alignment) || *alignment > GgufLimits::kMaxAlignment) {
    return cursor.Invalid(field, fmt::format("{} is not a power of two of at most {}", *alignment,
                                             GgufLimits::kMaxAlignment));
  }
  return *alignment;
}

// Checks that every tensor lies aligned in the data section and none over another, and sets their
// bytes.
Status PlaceTensors(const GgufCursor& cursor, std::span<const std::byte> file, uint64_t alignment,
                    std::vector<TensorEntry>& entries) {
  if (entries.empty()) return OkStatus();
  const GgufField tensors("tensor");
  const uint64_t data_begin = (cursor.position() + alignment - 1) / alignment * alignment;
  if (data_begin > file.size()) {
    return cursor.Invalid("tensor data", fmt::format("begins at offset {}, but the file ends at {}",
                                                     data_begin, file.size()));
  }
  const uint64_t data_bytes = file.size() - data_begin;
  std::vector<const TensorEntry*> by_offset;
  by_offset.reserve(entries.size());
  for (TensorEntry& entry : entries) {
    const GgufField tensor(tensors, entry.info.name);
    const GgufField field(tensor, "offset");
    if (entry.offset % alignment != 0) {
      return cursor.Invalid(
          field, fmt::format("{} is not a multiple of the alignment {}", entry.offset, alignment));
    }
    if (entry.offset > data_bytes || entry.bytes > data_bytes - entry.offset) {
      return cursor.Invalid(field, fmt::format("{} bytes at {} of the tensor data, which has {}",
                                               entry.bytes, entry.offset, data_bytes));
    }
    entry.info.bytes = file.subspan(data_begin + entry.offset, entry.bytes);
    by_offset.push_back(&entry);
  }
  std::sort(by_offset.begin(), by_offset.end(),
            [](const TensorEntry* a, const TensorEntry* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < by_offset.size(); ++i) {
    const TensorEntry& before = *by_offset[i - 1];
    const TensorEntry& tensor = *by_offset[i];
    if (before.offset + before.bytes > tensor.offset) {
      const GgufField named(tensors, tensor.info.name);
      return cursor.Invalid(GgufField(named, "offset"),
                            fmt::format("{} lies in tensor {}, which ends at {}", tensor.offset,
                                        Printable(before.info.name), before.offset + before.bytes));
    }
  }
  return OkStatus();
}

}  // namespace

Result<GgufTensorHead> ReadTensorHead(GgufCursor& cursor, uint64_t index) {
  GgufTensorHead head;
  const GgufField tensors("tensor");
  const GgufField unnamed(tensors, index);
  const GgufField name_field(unnamed, "name");
  ASSIGN_OR_RETURN(const std::string_view name,
                   cursor.String(name_field, GgufLimits::kMaxTensorNameBytes));
  if (name.empty()) return cursor.Invalid(name_field, "a name has at least one byte");
  head.info.name = name;
  const GgufField tensor(tensors, name);
  RETURN_IF_ERROR(ReadShape(cursor, tensor, head));
  RETURN_IF_ERROR(ReadType(cursor, tensor, head));
  return head;
}

const GgufPair* GgufPart::Find(std::string_view key) const {
  const auto found = std::find_if(metadata.begin(), metadata.end(),
                                  [key](const GgufPair& pair) { return pair.key == key; });
  return found == metadata.end() ? nullptr : &*found;
}

Result<GgufPart> ReadGgufPart(std::span<const std::byte> bytes, const std::string& name) {
  GgufCursor cursor(bytes, name);
  GgufPart part;
  ASSIGN_OR_RETURN(part.version, ReadVersion(cursor, bytes));
  ASSIGN_OR_RETURN(const uint64_t tensor_count,
                   cursor.Count("tensor count", GgufLimits::kMaxTensors, kMinTensorBytes));
  ASSIGN_OR_RETURN(const uint64_t pair_count,
                   cursor.Count("metadata count", GgufLimits::kMaxMetadataPairs, kMinPairBytes));
  for (uint64_t i = 0; i < pair_count; ++i) {
    ASSIGN_OR_RETURN(GgufPair pair, ReadMetadataPair(cursor, bytes, i));
    part.metadata.push_back(std::move(pair));
  }
  std::vector<TensorEntry> entries;
  entries.reserve(tensor_count);
  for (uint64_t i = 0; i < tensor_count; ++i) {
    ASSIGN_OR_RETURN(TensorEntry entry, ReadTensorEntry(cursor, i));
    entries.push_back(std::move(entry));
  }
  ASSIGN_OR_RETURN(const uint64_t alignment, AlignmentOf(cursor, part));
  RETURN_IF_ERROR(PlaceTensors(cursor, bytes, alignment, entries));
  part.tensors.reserve(entries.size());
  for (TensorEntry& entry : entries) part.tensors.push_back(std::move(entry.info));
  return part;
}

}  // namespace shoal
