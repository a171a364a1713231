#include "model/gguf/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>

#include "model/gguf/gguf_cursor.h"
#include "model/gguf/gguf_parser.h"

namespace shoal {

namespace {

constexpr std::string_view kMetadataStart = "shoal metadata 1\n";
constexpr std::string_view kManifestStart = "shoal manifest 2\n";
constexpr uint64_t kMinEntryBytes = 8 + 1 + 4 + 4 + 8 + 8 + sizeof(Sha256Digest);

// Writes a canonical form.
class CanonicalWriter {
 public:
  explicit CanonicalWriter(std::string_view start) : text_(start) {}

  template <typename T>
  requires std::is_arithmetic_v<T>
  void Number(T number) { text_.append(reinterpret_cast<const char*>(&number), sizeof(T)); }
  void Text(std::string_view text) {
    Number(uint64_t{text.size()});
    text_ += text;
  }
  void Digest(const Sha256Digest& digest) {
    text_.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  }
  void Value(const GgufValue& value) {
    Number(static_cast<uint32_t>(value.index()));
    std::visit([this](const auto& v) { Element(v); }, value);
  }
  std::string Finish() { return std::move(text_); }

 private:
  template <typename T>
  void Element(const T& element) {
    if constexpr (std::is_same_v<T, bool>) {
      Number(static_cast<uint8_t>(element ? 1 : 0));
    } else if constexpr (std::is_same_v<T, std::string_view>) {
      Text(element);
    } else if constexpr (std::is_same_v<T, GgufArray>) {
      std::visit([this](const auto& elements) { this->Elements(elements); }, element.elements);
    } else {
      Number(element);
    }
  }

  template <typename T>
  void Elements(const std::vector<T>& elements) {
    static const auto kTypeNumber = static_cast<uint32_t>(GgufValue(std::in_place_type<T>).index());
    Number(kTypeNumber);
    Number(uint64_t{elements.size()});
    for (size_t i = 0; i < elements.size(); ++i) Element<T>(elements[i]);
  }

  std::string text_;
};

int64_t ChunkCount(int64_t bytes) { return (bytes + kChunkBytes - 1) / kChunkBytes; }

Result<Sha256Digest> ReadDigest(GgufCursor& cursor, const GgufField& field) {
  Sha256Digest digest{};
  if (cursor.remaining() < digest.size()) return cursor.Invalid(field, "cut short");
  cursor.CopyNumbers(std::span<uint8_t>(digest));
  return digest;
}

Result<ManifestTensor> ReadTensor(GgufCursor& cursor, uint64_t index) {
  ASSIGN_OR_RETURN(GgufTensorHead head, ReadTensorHead(cursor, index));
  ManifestTensor tensor{
      std::move(head.info.name), head.info.type, std::move(head.info.shape), 0, {}};
  const GgufField tensors("tensor");
  const GgufField named(tensors, tensor.name);
  const GgufField bytes_field(named, "bytes");
  ASSIGN_OR_RETURN(const uint64_t bytes, cursor.Number<uint64_t>(bytes_field));
  if (bytes != head.bytes || bytes == 0) {
    return cursor.Invalid(bytes_field,
                          fmt::format("{}, but by shape and type it has {}", bytes, head.bytes));
  }
  tensor.bytes = static_cast<int64_t>(bytes);
  const GgufField chunks_field(named, "chunks");
  const auto expected = static_cast<uint64_t>(ChunkCount(tensor.bytes));
  ASSIGN_OR_RETURN(const uint64_t chunks,
                   cursor.Count(chunks_field, expected, sizeof(Sha256Digest)));
  if (chunks != expected) {
    return cursor.Invalid(chunks_field, fmt::format("{}, expected {}", chunks, expected));
  }
  for (uint64_t i = 0; i < chunks; ++i) {
    ASSIGN_OR_RETURN(const Sha256Digest chunk, ReadDigest(cursor, chunks_field));
    tensor.chunks.push_back(chunk);
  }
  return tensor;
}

std::vector<const TensorInfo*> SortedByName(const GgufFile& file) {
  std::vector<const TensorInfo*> tensors;
  tensors.reserve(file.tensors().size());
  for (const TensorInfo& tensor : file.tensors()) tensors.push_back(&tensor);
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorInfo* a, const TensorInfo* b) { return a->name < b->name; });
  return tensors;
}

// A chunk to hash and where its hash goes.
struct ChunkJob {
  std::span<const std::byte> bytes;
  Sha256Digest* digest;
};

}  // namespace

int64_t Manifest::tensor_bytes() const {
  int64_t bytes = 0;
  for (const ManifestTensor& tensor : tensors) bytes += tensor.bytes;
  return bytes;
}

Manifest BuildManifest(const GgufFile& file, ThreadPool& pool, const HashProgress& progress) {
  Manifest manifest;
  std::vector<ChunkJob> jobs;
  for (const TensorInfo* tensor : SortedByName(file)) {
    ManifestTensor entry{
        tensor->name, tensor->type, tensor->shape, static_cast<int64_t>(tensor->bytes.size()), {}};
    entry.chunks.resize(static_cast<size_t>(ChunkCount(entry.bytes)));
    for (size_t i = 0; i < entry.chunks.size(); ++i) {
      const size_t begin = i * kChunkBytes;
      const size_t size = std::min<size_t>(kChunkBytes, tensor->bytes.size() - begin);
      // The digests stay where they are when the vector that owns them is moved.
      jobs.push_back({tensor->bytes.subspan(begin, size), &entry.chunks[i]});
    }
    manifest.tensors.push_back(std::move(entry));
  }
  pool.ParallelFor(static_cast<int64_t>(jobs.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const ChunkJob& job = jobs[static_cast<size_t>(i)];
      *job.digest = Sha256Of(job.bytes);
      if (progress) progress(static_cast<int64_t>(job.bytes.size()));
    }
  });
  manifest.metadata_hash = Sha256Of(MetadataDocument(file));
  manifest.hash = Sha256Of(ManifestDocument(manifest));
  return manifest;
}

std::string MetadataDocument(const GgufFile& file) {
  CanonicalWriter writer(kMetadataStart);
  for (const auto& [key, value] : file.metadata()) {
    if (key.starts_with("split.")) continue;
    writer.Text(key);
    writer.Value(value);
  }
  return writer.Finish();
}

std::string ManifestDocument(const Manifest& manifest) {
  CanonicalWriter writer(kManifestStart);
  writer.Digest(manifest.metadata_hash);
  writer.Number(uint64_t{manifest.tensors.size()});
  for (const ManifestTensor& tensor : manifest.tensors) {
    writer.Text(tensor.name);
    writer.Number(static_cast<uint32_t>(tensor.shape.size()));
    for (const int64_t dimension : tensor.shape) writer.Number(static_cast<uint64_t>(dimension));
    writer.Number(static_cast<uint32_t>(tensor.type));
    writer.Number(static_cast<uint64_t>(tensor.bytes));
    writer.Number(uint64_t{tensor.chunks.size()});
    for (const Sha256Digest& chunk : tensor.chunks) writer.Digest(chunk);
  }
  return writer.Finish();
}

Result<Manifest> ParseManifest(std::string_view document) {
  if (!document.starts_with(kManifestStart)) {
    return InvalidArgument("manifest: does not begin like one");
  }
  const auto bytes = std::as_bytes(std::span(document)).subspan(kManifestStart.size());
  GgufCursor cursor(bytes, "manifest");
  Manifest manifest;
  manifest.hash = Sha256Of(document);
  ASSIGN_OR_RETURN(manifest.metadata_hash, ReadDigest(cursor, "metadata hash"));
  ASSIGN_OR_RETURN(const uint64_t count,
                   cursor.Count("tensor count", GgufLimits::kMaxTensors, kMinEntryBytes));
  for (uint64_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(ManifestTensor tensor, ReadTensor(cursor, i));
    if (i > 0 && tensor.name <= manifest.tensors.back().name) {
      return cursor.Invalid("tensor",
                            fmt::format("{} after {}: names ascend", Printable(tensor.name),
                                        Printable(manifest.tensors.back().name)));
    }
    manifest.tensors.push_back(std::move(tensor));
  }
  if (cursor.remaining() != 0) {
    return cursor.Invalid("end", fmt::format("{} bytes too many", cursor.remaining()));
  }
  return manifest;
}

Result<std::string> MetadataPairs(std::string_view document) {
  if (!document.starts_with(kMetadataStart)) {
    return InvalidArgument("metadata: does not begin like a model's");
  }
  return std::string(document.substr(kMetadataStart.size()));
}

}  // namespace shoal
