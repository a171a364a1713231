#include "model/gguf/model_identity.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <span>
#include <system_error>

namespace shoal {

namespace {

// Where the identity of this file, as it is now, is kept.
std::filesystem::path EntryPath(const GgufFile& file, const std::string& cache_folder) {
  std::string key = "shoal model identity 1\n";
  for (const FileStamp& stamp : file.stamps()) {
    key += fmt::format("{} {} {} {}\n", stamp.device, stamp.inode, stamp.bytes, stamp.changed_ns);
  }
  return std::filesystem::path(cache_folder) / "identities" /
         ToHex(Sha256Of(std::as_bytes(std::span(key))));
}

std::optional<Sha256Digest> ReadEntry(const std::filesystem::path& path) {
  std::ifstream entry(path, std::ios::binary);
  Sha256Digest digest{};
  entry.read(reinterpret_cast<char*>(digest.data()), digest.size());
  const bool whole = entry && entry.peek() == std::ifstream::traits_type::eof();
  return whole ? std::optional(digest) : std::nullopt;
}

// By way of a file of its own, so that nobody reads half an entry.
void WriteEntry(const std::filesystem::path& path, const Sha256Digest& digest) {
  std::error_code failed;
  std::filesystem::create_directories(path.parent_path(), failed);
  const std::filesystem::path draft = path.string() + fmt::format(".{}", ::getpid());
  std::ofstream entry(draft, std::ios::binary);
  entry.write(reinterpret_cast<const char*>(digest.data()), digest.size());
  entry.close();
  if (entry) std::filesystem::rename(draft, path, failed);
  if (!entry || failed) std::filesystem::remove(draft, failed);
}

}  // namespace

Sha256Digest ModelIdentity(const GgufFile& file, ThreadPool& pool, const std::string& cache_folder,
                           const HashProgress& progress) {
  const bool remember = !cache_folder.empty() && file.file_bytes() >= kRememberFromBytes;
  const std::filesystem::path path = remember ? EntryPath(file, cache_folder) : "";
  if (remember) {
    if (const std::optional<Sha256Digest> known = ReadEntry(path)) return *known;
  }
  const Sha256Digest digest = BuildManifest(file, pool, progress).hash;
  // A node needs only its own part of the file in memory.
  for (const TensorInfo& tensor : file.tensors()) file.Release(tensor);
  if (remember) WriteEntry(path, digest);
  return digest;
}

}  // namespace shoal
