#include "model/gguf/manifest.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <variant>

namespace shoal {

namespace {

// Hashes a canonical form. Gathers small pieces, because each call of the hash function costs.
class CanonicalHasher {
 public:
  explicit CanonicalHasher(std::string_view domain) { Bytes(std::as_bytes(std::span(domain))); }

  void Bytes(std::span<const std::byte> bytes) {
    if (bytes.size() > buffer_.size() - used_) Flush();
    if (bytes.size() > buffer_.size()) {
      sha_.Update(bytes);
    } else if (!bytes.empty()) {
      std::memcpy(buffer_.data() + used_, bytes.data(), bytes.size());
      used_ += bytes.size();
    }
  }
  template <typename T>
  requires std::is_arithmetic_v<T>
  void Number(T number) { Bytes(std::as_bytes(std::span(&number, 1))); }
  void Text(std::string_view text) {
    Number(uint64_t{text.size()});
    Bytes(std::as_bytes(std::span(text)));
  }
  void Digest(const Sha256Digest& digest) { Bytes(std::as_bytes(std::span(digest))); }
  void Value(const GgufValue& value) {
    Number(static_cast<uint32_t>(value.index()));
    std::visit([this](const auto& v) { Element(v); }, value);
  }
  Sha256Digest Finish() {
    Flush();
    return sha_.Finish();
  }

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

  void Flush() {
    sha_.Update(std::span(buffer_).first(used_));
    used_ = 0;
  }

  Sha256 sha_;
  std::array<std::byte, 8192> buffer_;
  size_t used_ = 0;  // bytes of buffer_ that wait to be hashed
};

Sha256Digest MetadataHash(const GgufFile& file) {
  CanonicalHasher hasher("shoal metadata 1\n");
  for (const auto& [key, value] : file.metadata()) {
    if (key.starts_with("split.")) continue;
    hasher.Text(key);
    hasher.Value(value);
  }
  return hasher.Finish();
}

void HashTensorHead(CanonicalHasher& hasher, std::string_view name, TensorType type,
                    const std::vector<int64_t>& shape, int64_t bytes) {
  hasher.Text(name);
  hasher.Number(static_cast<uint32_t>(type));
  hasher.Number(static_cast<uint32_t>(shape.size()));
  for (const int64_t dimension : shape) hasher.Number(static_cast<uint64_t>(dimension));
  hasher.Number(static_cast<uint64_t>(bytes));
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
    entry.chunks.resize(static_cast<size_t>((entry.bytes + kChunkBytes - 1) / kChunkBytes));
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
  manifest.metadata_hash = MetadataHash(file);
  manifest.hash = HashOf(manifest);
  return manifest;
}

Sha256Digest HashOf(const Manifest& manifest) {
  CanonicalHasher hasher("shoal manifest 1\n");
  hasher.Digest(manifest.metadata_hash);
  hasher.Number(uint64_t{manifest.tensors.size()});
  for (const ManifestTensor& tensor : manifest.tensors) {
    HashTensorHead(hasher, tensor.name, tensor.type, tensor.shape, tensor.bytes);
    hasher.Number(uint64_t{tensor.chunks.size()});
    for (const Sha256Digest& chunk : tensor.chunks) hasher.Digest(chunk);
  }
  return hasher.Finish();
}

}  // namespace shoal
