#include "model/gguf/model_identity.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <system_error>

#include "base/atomic_file.h"

namespace shoal {

namespace {

// Where the manifest of this file, as it is now, is kept.
std::filesystem::path EntryPath(const GgufFile& file, const std::string& cache_folder) {
  std::string key = "shoal model manifest 2\n";
  for (const FileStamp& stamp : file.stamps()) {
    key += fmt::format("{} {} {} {}\n", stamp.device, stamp.inode, stamp.bytes, stamp.changed_ns);
  }
  return std::filesystem::path(cache_folder) / "manifests" / ToHex(Sha256Of(key));
}

// An entry ends with the hash of what stands before it.
std::optional<Manifest> ReadEntry(const std::filesystem::path& path) {
  const Result<std::string> entry = ReadFileUpTo(path.string(), kMaxDocumentBytes);
  constexpr size_t kHexDigits = 2 * sizeof(Sha256Digest);
  if (!entry.ok() || entry->size() < kHexDigits) return std::nullopt;
  Result<Manifest> manifest =
      ParseManifest(std::string_view(*entry).substr(0, entry->size() - kHexDigits));
  if (!manifest.ok() || !entry->ends_with(ToHex(manifest->hash))) return std::nullopt;
  return std::move(manifest).value();
}

void WriteEntry(const std::filesystem::path& path, const Manifest& manifest) {
  std::error_code ignored;
  std::filesystem::create_directories(path.parent_path(), ignored);
  const std::string entry = ManifestDocument(manifest) + ToHex(manifest.hash);
  // Without it, the next start hashes again.
  static_cast<void>(WriteFileAtomically(path.string(), entry));
}

}  // namespace

Manifest ManifestOf(const GgufFile& file, ThreadPool& pool, const std::string& cache_folder,
                    const HashProgress& progress) {
  const bool remember = !cache_folder.empty() && file.file_bytes() >= kRememberFromBytes;
  const std::filesystem::path path = remember ? EntryPath(file, cache_folder) : "";
  if (remember) {
    if (std::optional<Manifest> known = ReadEntry(path)) return std::move(*known);
  }
  Manifest manifest = BuildManifest(file, pool, progress);
  // A node needs only its own part of the file in memory.
  for (const TensorInfo& tensor : file.tensors()) file.Release(tensor.bytes);
  if (remember) WriteEntry(path, manifest);
  return manifest;
}

Sha256Digest ModelIdentity(const GgufFile& file, ThreadPool& pool, const std::string& cache_folder,
                           const HashProgress& progress) {
  return ManifestOf(file, pool, cache_folder, progress).hash;
}

}  // namespace shoal
