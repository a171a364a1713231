// Any bytes as a model's manifest or metadata: refused, or they are the canonical form of what was
// read, so that no two documents mean the same model.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/manifest.h"
#include "model/gguf/stored_model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view document(reinterpret_cast<const char*>(data), size);
  const auto manifest = shoal::ParseManifest(document);
  if (manifest.ok()) {
    CHECK(shoal::ManifestDocument(*manifest) == document, "a manifest in its canonical form");
    CHECK(!shoal::StoredModel::Make(document, "other metadata").ok(), "metadata of another model");
  }
  auto pairs = shoal::MetadataPairs(document);
  if (!pairs.ok()) return 0;
  const auto file = shoal::GgufFile::FromPieces(*pairs, {}, "fuzz");
  if (!file.ok()) return 0;
  bool has_split_key = false;  // of a file in parts: no metadata has them
  for (const auto& [key, value] : file->metadata()) has_split_key |= key.starts_with("split.");
  CHECK(has_split_key || shoal::MetadataDocument(*file) == document, "metadata in canonical form");
  return 0;
}
