// What a coordinator and its nodes mean by "the same model": the hash of the manifest, so every
// byte of every tensor and all metadata, whatever the file is called and however it is cut.
#pragma once

#include <string>

#include "base/sha256.h"
#include "base/thread_pool.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/manifest.h"

namespace shoal {

// Files smaller than this are hashed each time: that takes milliseconds.
constexpr int64_t kRememberFromBytes = 8 << 20;

// BuildManifest(file). It reads the whole file, so the result is kept in `cache_folder` (made if it
// is missing; empty: none) and found again while the file stays unchanged, by device, inode, size
// and time of change of every part. What stands in the cache is as trusted as the folder; a damaged
// entry, or a folder that cannot be written, only costs the time to hash.
Manifest ManifestOf(const GgufFile& file, ThreadPool& pool, const std::string& cache_folder,
                    const HashProgress& progress = {});

// ManifestOf(file).hash
Sha256Digest ModelIdentity(const GgufFile& file, ThreadPool& pool, const std::string& cache_folder,
                           const HashProgress& progress = {});

}  // namespace shoal
