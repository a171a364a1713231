// Holds the shard of a node's current plan: opens and checks the model file, loads the stage, and
// keeps it for a later plan that asks for the same layers, so that coming back from another node's
// loss costs no loading. Beside it, it may hold spares: stages that a later plan is likely to ask
// for.
//
// Thread rule: belongs to one thread at a time; Load may run on another while nobody uses the rest.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/sha256.h"
#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "model/gguf/gguf_file.h"
#include "model/transformer/stage.h"

namespace shoal {

struct ShardRequest {
  std::string model_path;         // empty: from the store
  Sha256Digest model_identity{};  // ModelIdentity of the file
  LayerRange layers;
  int32_t stage_index = 0;
  int64_t kv_tokens = 0;                  // of all sessions together
  TensorType kv_type = TensorType::kF16;  // REQUIRES IsKvType
};

// Opens the model as the chunk store holds it, with the layers of the request and of its spares,
// which may take as long as their bytes take to come over the network. Spares that do not come are
// missing in the file.
using OpenStored = std::function<Result<GgufFile>()>;

class ShardHost {
 public:
  // `kernels` and `pool` outlive the host. The pool serves whoever runs the stage. Identities of
  // files are remembered in `cache_folder` (empty: nowhere). Weights and KV of all stages take at
  // most `memory_limit_bytes` (0: what the OS says is available).
  ShardHost(const kernels::KernelTable& kernels, ThreadPool& pool, std::string cache_folder,
            int64_t memory_limit_bytes)
      : kernels_(kernels),
        pool_(pool),
        cache_folder_(std::move(cache_folder)),
        memory_limit_bytes_(memory_limit_bytes) {}

  // Makes stage() hold the request's layers, without sessions. `open_stored` (none: there is no
  // store) serves a request without a path, or whose file is not here; it is called once at most.
  // Unless `spares` is empty, it then holds these besides, of the same model, as far as memory
  // allows, and drops other spares. Errors: its own, those of GgufFile::Open, ReadModelConfig and
  // Stage::Load; kFailedPrecondition if the file is not the model that is asked for (both
  // identities named); kResourceExhausted if memory does not suffice. No stage after an error; a
  // spare that cannot be held is none.
  Status Load(const ShardRequest& request, std::span<const ShardRequest> spares,
              const OpenStored& open_stored, LoadProgress* progress);
  // Null before Load.
  Stage* stage() { return current_.stage.get(); }
  void Unload();
  // What stages may take here: those that are held, and what is available besides. 0: unknown.
  int64_t OfferedBytes() const;

 private:
  struct Held {
    ShardRequest request;
    std::unique_ptr<Stage> stage;
  };
  Status OpenModel(const ShardRequest& request, const OpenStored& open_stored);
  Status OpenFile(const ShardRequest& request);
  Status OpenFromStore(const OpenStored& open_stored);
  bool Holds(const ShardRequest& request) const;
  void HoldSpares(std::span<const ShardRequest> wanted, const OpenStored& open_stored,
                  const LoadProgress* progress);
  Status HoldSpare(const ShardRequest& request);
  int64_t WeightsBytes() const;               // of all stages that are held
  int64_t RoomBytes(int64_t kv_bytes) const;  // for more, where sessions get that much of the limit
  Result<Held> LoadStage(const ShardRequest& request, int64_t most_weight_bytes,
                         LoadProgress* progress);

  const kernels::KernelTable& kernels_;
  ThreadPool& pool_;
  const std::string cache_folder_;
  const int64_t memory_limit_bytes_;
  std::shared_ptr<const GgufFile> file_;  // shared with the stage; null: none is open
  Sha256Digest identity_{};               // of file_, if it is a file
  bool is_stored_ = false;                // file_ is what the store has of the model
  Held current_;
  std::vector<Held> spares_;
};

}  // namespace shoal
