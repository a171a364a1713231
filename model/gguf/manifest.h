// The manifest of a model: every tensor's name, type, shape, bytes and chunk hashes, plus the
// metadata. Its SHA-256 is the model's identity, whatever the file is called and however it is cut
// into parts. What a node needs in order to fetch and check its share, and what the handshake
// binds.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/sha256.h"
#include "base/thread_pool.h"
#include "model/gguf/gguf_file.h"

namespace shoal {

constexpr int64_t kChunkBytes = 4 << 20;  // a tensor's bytes are hashed in chunks of at most this

struct ManifestTensor {
  std::string name;
  TensorType type = TensorType::kF32;
  std::vector<int64_t> shape;
  int64_t bytes = 0;                 // at least 1
  std::vector<Sha256Digest> chunks;  // ceil(bytes / kChunkBytes)
};

struct Manifest {
  std::vector<ManifestTensor> tensors;  // sorted by name
  Sha256Digest metadata_hash{};  // over the canonical form of every metadata pair but split.*
  Sha256Digest hash{};           // over the canonical form of all of the above

  int64_t tensor_bytes() const;
};

// Is told the bytes of each chunk that has been hashed, from the pool's threads and at any time.
using HashProgress = std::function<void(int64_t chunk_bytes)>;

// Hashes all of the file, in parallel on `pool`; reads every byte once.
Manifest BuildManifest(const GgufFile& file, ThreadPool& pool, const HashProgress& progress = {});

// The canonical forms that the hashes are over, which is also how manifest and metadata are kept
// and sent: their SHA-256 are Manifest::hash and Manifest::metadata_hash. Little endian:
//   metadata  "shoal metadata 1\n", then pairs as in a GGUF file (key, type, value), keys ascending
//   manifest  "shoal manifest 2\n", metadata_hash, u64 tensors, then for each of them, names
//             ascending: name, shape and type as in a GGUF file, u64 bytes, u64 chunks, hashes
std::string MetadataDocument(const GgufFile& file);
// REQUIRES tensors sorted by name.
std::string ManifestDocument(const Manifest& manifest);
constexpr int64_t kMaxDocumentBytes = 64 << 20;  // several times that of the largest models

// The manifest of which `document` is the ManifestDocument. Errors name the field.
Result<Manifest> ParseManifest(std::string_view document);
// The pairs of a MetadataDocument, for GgufFile::FromPieces, which checks them. Errors: it does not
// begin like one.
Result<std::string> MetadataPairs(std::string_view document);

}  // namespace shoal
