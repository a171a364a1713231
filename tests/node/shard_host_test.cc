// Proves that a stage of another model, which no plan uses any more, gives its room in the store to
// the one that is loaded next: two models over a store that has room for one.
#include "node/shard_host.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "model/gguf/chunk_store.h"
#include "model/gguf/stored_model.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

// Of a model's file, as a coordinator has it.
struct Served {
  explicit Served(const std::string& name, ThreadPool& pool)
      : file(std::make_shared<const GgufFile>(
            GgufFile::Open(SHOAL_TEST_DATA "/tiny-models/tiny-" + name + ".gguf").value())),
        manifest(BuildManifest(*file, pool)),
        contents(file, manifest),
        stored(StoredModel::Make(ManifestDocument(manifest), MetadataDocument(*file)).value()) {}

  // Those of every layer.
  std::vector<const ManifestTensor*> tensors() const {
    return stored.TensorsOf(0, static_cast<int32_t>(GgufLimits::kMaxTensors));
  }

  const std::shared_ptr<const GgufFile> file;  // shared with contents
  const Manifest manifest;
  FileContents contents;
  const StoredModel stored;
};

// As WeightsService does it: what is wanted is kept, then brought, then opened.
Result<GgufFile> Fetch(Served& model, ChunkStore& store) {
  std::vector<Sha256Digest> chunks;
  for (const auto& [chunk, bytes] : ChunksOf(model.tensors())) chunks.push_back(chunk);
  const ChunkStore::Pin pin = store.Keep(chunks);
  for (const Sha256Digest& chunk : chunks) {
    if (store.Has(chunk)) continue;
    RETURN_IF_ERROR(store.Put(chunk, model.contents.Find(chunk).bytes));
  }
  return model.stored.Open(store, model.tensors());
}

TEST(ShardHost, AModelThatNoPlanUsesMakesRoomInTheStore) {
  ThreadPool pool(1);
  Served first("qwen2", pool);
  Served second("qwen3", pool);
  const int64_t quota = std::max(first.manifest.tensor_bytes(), second.manifest.tensor_bytes()) + 1;
  const TempDir dir;
  const auto store = ChunkStore::Open(dir.path(), quota).value();
  ShardHost host(kernels::TableFor(kernels::Isa::kReference), pool, "", 0);
  for (Served* model : {&first, &second, &first}) {
    ShardRequest request;
    request.model_identity = model->manifest.hash;
    request.layers = {0, 1};
    request.kv_tokens = 16;
    LoadProgress progress;
    const Status loaded = host.Load(
        request, {}, [&] { return Fetch(*model, *store); }, &progress);
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    ASSERT_NE(host.stage(), nullptr);
  }
}

}  // namespace
}  // namespace shoal
