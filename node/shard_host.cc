#include "node/shard_host.h"

#include <fmt/format.h>

#include <utility>

#include "model/gguf/model_identity.h"
#include "node/profiler.h"

namespace shoal {

Status ShardHost::OpenFile(const ShardRequest& request) {
  if (file_ != nullptr && file_->path() == request.model_path &&
      identity_ == request.model_identity) {
    return OkStatus();
  }
  stage_.reset();
  ASSIGN_OR_RETURN(GgufFile file, GgufFile::Open(request.model_path));
  identity_ = ModelIdentity(file, pool_, cache_folder_);
  file_ = std::make_shared<const GgufFile>(std::move(file));
  if (identity_ != request.model_identity) {
    return FailedPrecondition(fmt::format(
        "{}: the file's identity is {}, the coordinator's model is {}: not the same model",
        request.model_path, ToHex(identity_), ToHex(request.model_identity)));
  }
  return OkStatus();
}

Status ShardHost::OpenModel(const ShardRequest& request, const OpenStored& open_stored) {
  if (!request.model_path.empty()) {
    const Status opened = OpenFile(request);
    const bool elsewhere = !opened.ok() && opened.error().code == ErrorCode::kNotFound;
    if (!elsewhere || open_stored == nullptr) return opened;
  }
  stage_.reset();
  ASSIGN_OR_RETURN(GgufFile file, open_stored());
  file_ = std::make_shared<const GgufFile>(std::move(file));
  return OkStatus();
}

bool ShardHost::Holds(const ShardRequest& request) const {
  return stage_ != nullptr && loaded_.model_identity == request.model_identity &&
         loaded_.layers == request.layers && loaded_.kv_tokens == request.kv_tokens &&
         loaded_.kv_type == request.kv_type && loaded_.stage_index == request.stage_index;
}

Status ShardHost::Load(const ShardRequest& request, const OpenStored& open_stored,
                       LoadProgress* progress) {
  if (Holds(request)) {
    stage_->CloseAll();
    return OkStatus();
  }
  RETURN_IF_ERROR(OpenModel(request, open_stored));
  stage_.reset();
  ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(*file_));
  StageOptions options;
  options.range = request.layers;
  options.stage_index = request.stage_index;
  options.kv_type = request.kv_type;
  options.kv_budget_bytes =
      config.KvBytesPerToken(request.layers.size(), request.kv_type) * request.kv_tokens;
  const int64_t available = AvailableMemoryBytes();
  if (available > 0 && options.kv_budget_bytes > available) {
    return ResourceExhausted(fmt::format("KV for {} tokens needs {} MiB, this device has {} MiB",
                                         request.kv_tokens, options.kv_budget_bytes >> 20,
                                         available >> 20));
  }
  ASSIGN_OR_RETURN(stage_, Stage::Load(file_, config, options, kernels_, pool_, progress));
  loaded_ = request;
  return OkStatus();
}

}  // namespace shoal
