// Holds the shard of a node's current plan: opens and checks the model file, loads the stage, and
// keeps it for a later plan that asks for the same layers, so that coming back from another node's
// loss costs no loading.
//
// Thread rule: belongs to one thread at a time; Load may run on another while nobody uses the rest.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/sha256.h"
#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "model/gguf/gguf_file.h"
#include "model/transformer/stage.h"

namespace shoal {

struct ShardRequest {
  std::string model_path;
  Sha256Digest model_identity{};  // QuickIdentity of the file
  LayerRange layers;
  int32_t stage_index = 0;
  int64_t kv_tokens = 0;                  // of all sessions together
  TensorType kv_type = TensorType::kF16;  // REQUIRES IsKvType
};

class ShardHost {
 public:
  // `kernels` and `pool` outlive the host. The pool serves whoever runs the stage.
  ShardHost(const kernels::KernelTable& kernels, ThreadPool& pool)
      : kernels_(kernels), pool_(pool) {}

  // Makes stage() hold the request's layers, without sessions. Errors: those of GgufFile::Open,
  // ReadModelConfig and Stage::Load; kFailedPrecondition if the file is not the model that is asked
  // for (both identities named); kResourceExhausted if memory does not suffice. No stage after an
  // error.
  Status Load(const ShardRequest& request, LoadProgress* progress);
  // Null before Load and after Unload.
  Stage* stage() { return stage_.get(); }
  void Unload() { stage_.reset(); }

 private:
  Status OpenFile(const ShardRequest& request);

  const kernels::KernelTable& kernels_;
  ThreadPool& pool_;
  std::shared_ptr<const GgufFile> file_;  // shared with the stage
  Sha256Digest identity_{};
  ShardRequest loaded_;  // what stage_ holds
  std::unique_ptr<Stage> stage_;
};

}  // namespace shoal
