#include "model/gguf/stored_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "base/log.h"

namespace shoal {

namespace {

constexpr int64_t kMaxLayers = 1 << 16;

// 3 of "blk.3.attn_q.weight"; nothing for a tensor that belongs to no layer.
std::optional<int64_t> LayerOf(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  int64_t layer = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  if (error != std::errc() || end == name.data() + name.size() || *end != '.') return std::nullopt;
  return layer;
}

std::vector<TensorInfo> InfosOf(const Manifest& manifest) {
  std::vector<TensorInfo> infos;
  for (const ManifestTensor& tensor : manifest.tensors) {
    infos.push_back({tensor.name, tensor.type, tensor.shape, {}, 0});
  }
  return infos;
}

std::string NameOf(const Manifest& manifest) {
  return fmt::format("model {}", ToHex(manifest.hash).substr(0, 12));
}

}  // namespace

Result<StoredModel> StoredModel::Make(std::string_view manifest, std::string_view metadata) {
  StoredModel model;
  ASSIGN_OR_RETURN(model.manifest_, ParseManifest(manifest));
  const Sha256Digest hash = Sha256Of(metadata);
  if (hash != model.manifest_.metadata_hash) {
    return DataLoss(fmt::format("metadata has the SHA-256 {}, the manifest names {}", ToHex(hash),
                                ToHex(model.manifest_.metadata_hash)));
  }
  ASSIGN_OR_RETURN(model.metadata_, MetadataPairs(metadata));
  ASSIGN_OR_RETURN(const GgufFile file,
                   GgufFile::FromPieces(model.metadata_, {}, NameOf(model.manifest_)));
  ASSIGN_OR_RETURN(const std::string_view architecture, file.String("general.architecture"));
  const std::string key = fmt::format("{}.block_count", architecture);
  ASSIGN_OR_RETURN(model.layers_, file.Int(key));
  if (model.layers_ < 1 || model.layers_ > kMaxLayers) {
    return InvalidArgument(
        fmt::format("metadata {}: expected 1 to {}, it is {}", key, kMaxLayers, model.layers_));
  }
  return model;
}

std::vector<const ManifestTensor*> StoredModel::TensorsOf(int32_t layer_begin,
                                                          int32_t layer_end) const {
  const bool last = layer_end == layers_;
  const bool tied = std::none_of(manifest_.tensors.begin(), manifest_.tensors.end(),
                                 [](const auto& tensor) { return tensor.name == "output.weight"; });
  const auto needed = [&](const std::string& name) {
    if (const std::optional<int64_t> layer = LayerOf(name)) {
      return *layer >= layer_begin && *layer < layer_end;
    }
    if (name.starts_with("token_embd")) return layer_begin == 0 || (last && tied);
    if (name.starts_with("output")) return last;
    return true;
  };
  std::vector<const ManifestTensor*> tensors;
  for (const ManifestTensor& tensor : manifest_.tensors) {
    if (needed(tensor.name)) tensors.push_back(&tensor);
  }
  return tensors;
}

Result<GgufFile> StoredModel::Open(ChunkStore& store,
                                   std::span<const ManifestTensor* const> tensors) const {
  ASSIGN_OR_RETURN(GgufFile file,
                   GgufFile::FromPieces(metadata_, InfosOf(manifest_), NameOf(manifest_)));
  struct Held {
    ChunkStore::Pin pin;
    std::vector<MappedSequence> mapped;
  };
  auto held = std::make_shared<Held>();
  std::vector<Sha256Digest> chunks = {manifest_.hash, manifest_.metadata_hash};
  for (const auto& [chunk, bytes] : ChunksOf(tensors)) chunks.push_back(chunk);
  held->pin = store.Keep(std::move(chunks));
  std::vector<std::span<const std::byte>> bytes(manifest_.tensors.size());
  for (const ManifestTensor* tensor : tensors) {
    ASSIGN_OR_RETURN(MappedSequence sequence, store.Map(tensor->chunks, tensor->bytes));
    bytes[static_cast<size_t>(tensor - manifest_.tensors.data())] = sequence.bytes();
    held->mapped.push_back(std::move(sequence));
  }
  file.SetBytes(bytes, std::move(held));
  return file;
}

std::map<Sha256Digest, int64_t> ChunksOf(std::span<const ManifestTensor* const> tensors) {
  std::map<Sha256Digest, int64_t> chunks;
  for (const ManifestTensor* tensor : tensors) {
    int64_t left = tensor->bytes;
    for (const Sha256Digest& chunk : tensor->chunks) {
      chunks[chunk] = std::min(left, kChunkBytes);
      left -= kChunkBytes;
    }
  }
  return chunks;
}

FileContents::FileContents(std::shared_ptr<const GgufFile> file, const Manifest& manifest)
    : file_(std::move(file)) {
  documents_[manifest.hash] = OwnedContent(ManifestDocument(manifest));
  documents_[manifest.metadata_hash] = OwnedContent(MetadataDocument(*file_));
  for (const ManifestTensor& tensor : manifest.tensors) {
    const TensorInfo* info = file_->FindTensor(tensor.name);
    CHECK(info != nullptr && static_cast<int64_t>(info->bytes.size()) == tensor.bytes,
          "the manifest is this file's");
    for (size_t i = 0; i < tensor.chunks.size(); ++i) {
      const size_t begin = i * kChunkBytes;
      const size_t size = std::min<size_t>(kChunkBytes, info->bytes.size() - begin);
      chunks_[tensor.chunks[i]] = info->bytes.subspan(begin, size);
    }
  }
}

Content FileContents::Find(const Sha256Digest& digest) {
  const auto document = documents_.find(digest);
  if (document != documents_.end()) return document->second;
  const auto chunk = chunks_.find(digest);
  if (chunk == chunks_.end()) return {};
  Result<std::string> bytes = file_->Read(chunk->second);
  if (bytes.ok() && !file_->is_untouched() && Sha256Of(*bytes) != digest) {
    bytes = DataLoss(file_->path() + ": the bytes are others");
  }
  if (bytes.ok()) return OwnedContent(std::move(*bytes));
  SayLost(bytes.error());
  return {};
}

void FileContents::SayLost(const Error& error) {
  if (said_lost_.exchange(true)) return;
  spdlog::error(
      "the model's file changed while it was served, nodes that lack weights cannot get "
      "them any more: {}; start again with the file that is to be served",
      error.message);
}

}  // namespace shoal
