// A model as a chunk store holds it: manifest, metadata and the chunks of a layer range, opened as
// if they were a file.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/content_source.h"
#include "base/result.h"
#include "model/gguf/chunk_store.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/manifest.h"

namespace shoal {

// Manifest and metadata of a model, and what follows from them. Immutable.
class StoredModel {
 public:
  // Checks the two documents against each other. Errors: either is damaged, or they do not belong
  // together; a model without a plausible number of layers.
  static Result<StoredModel> Make(std::string_view manifest, std::string_view metadata);

  const Manifest& manifest() const { return manifest_; }

  // The tensors that a stage of layers [begin, end) needs: those of the layers, of the first stage
  // the embedding, of the last one the norm and the head, of every one what belongs to no layer.
  std::vector<const ManifestTensor*> TensorsOf(int32_t layer_begin, int32_t layer_end) const;

  // The model with the bytes of these tensors mapped from `store`, where they stay pinned as long
  // as the file lives; other tensors have no bytes. REQUIRES that the store misses none of them.
  Result<GgufFile> Open(ChunkStore& store, std::span<const ManifestTensor* const> tensors) const;

 private:
  StoredModel() = default;

  Manifest manifest_;
  std::string metadata_;  // pairs
  int64_t layers_ = 0;
};

// The chunks of the tensors, each once, in ascending order of their hashes; and their bytes.
std::map<Sha256Digest, int64_t> ChunksOf(std::span<const ManifestTensor* const> tensors);

// Manifest, metadata and chunks of a file, for those who fetch it. Chunks are read, never taken
// from the mapping: one may have copied another model over the file. What is no longer there then
// is not found, and the log says so once.
class FileContents final : public ContentSource {
 public:
  // REQUIRES the manifest of `file`.
  FileContents(std::shared_ptr<const GgufFile> file, const Manifest& manifest);
  Content Find(const Sha256Digest& digest) override;

 private:
  void SayLost(const Error& error);

  const std::shared_ptr<const GgufFile> file_;  // shared with who handed it in
  std::map<Sha256Digest, Content> documents_;
  std::map<Sha256Digest, std::span<const std::byte>> chunks_;  // in the mapping
  std::atomic<bool> said_lost_{false};
};

}  // namespace shoal
