#include "node/shard_host.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "model/gguf/model_identity.h"
#include "node/profiler.h"

namespace shoal {

namespace {

constexpr double kSpareMargin = 1.2;  // of a spare's weights that must be free, so that KV may grow

bool IsSame(const ShardRequest& a, const ShardRequest& b) {
  return a.model_identity == b.model_identity && a.layers == b.layers &&
         a.kv_tokens == b.kv_tokens && a.kv_type == b.kv_type && a.stage_index == b.stage_index;
}

}  // namespace

Status ShardHost::OpenFile(const ShardRequest& request) {
  if (file_ != nullptr && file_->path() == request.model_path &&
      identity_ == request.model_identity) {
    return OkStatus();
  }
  current_ = {};
  spares_.clear();
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

Status ShardHost::OpenFromStore(const OpenStored& open_stored) {
  ASSIGN_OR_RETURN(GgufFile file, open_stored());
  file_ = std::make_shared<const GgufFile>(std::move(file));
  is_stored_ = true;
  return OkStatus();
}

Status ShardHost::OpenModel(const ShardRequest& request, const OpenStored& open_stored) {
  if (!request.model_path.empty()) {
    is_stored_ = false;
    const Status opened = OpenFile(request);
    const bool elsewhere = !opened.ok() && opened.error().code == ErrorCode::kNotFound;
    if (!elsewhere || open_stored == nullptr) return opened;
  }
  current_ = {};
  file_ = nullptr;  // what it holds in the store makes room for what comes
  return OpenFromStore(open_stored);
}

Status ShardHost::Load(const ShardRequest& request, std::span<const ShardRequest> spares,
                       const OpenStored& open_stored, LoadProgress* progress) {
  bool opened = false;
  if (current_.stage == nullptr || !IsSame(current_.request, request)) {
    const auto spare = std::find_if(spares_.begin(), spares_.end(), [&](const Held& held) {
      return IsSame(held.request, request);
    });
    if (spare != spares_.end()) {
      std::swap(current_, *spare);  // the stage so far may be asked for again
      if (spare->stage == nullptr) spares_.erase(spare);
    } else {
      current_ = {};
      spares_.clear();  // their memory may be needed
      RETURN_IF_ERROR(OpenModel(request, open_stored));
      opened = true;
      ASSIGN_OR_RETURN(current_, LoadStage(request, INT64_MAX, progress));
    }
  }
  current_.stage->CloseAll();
  if (!spares.empty()) HoldSpares(spares, opened ? nullptr : open_stored, progress);
  return OkStatus();
}

bool ShardHost::Holds(const ShardRequest& request) const {
  const auto is_it = [&](const Held& held) { return IsSame(held.request, request); };
  return is_it(current_) || std::any_of(spares_.begin(), spares_.end(), is_it);
}

void ShardHost::HoldSpares(std::span<const ShardRequest> wanted, const OpenStored& open_stored,
                           const LoadProgress* progress) {
  std::erase_if(spares_, [&](const Held& held) {
    return std::none_of(wanted.begin(), wanted.end(),
                        [&](const ShardRequest& request) { return IsSame(held.request, request); });
  });
  bool reopen = is_stored_ && open_stored != nullptr;  // what it was opened for were other layers
  for (const ShardRequest& request : wanted) {
    if (Holds(request)) continue;
    if (progress != nullptr && progress->cancelled) return;
    Status held = OkStatus();
    if (std::exchange(reopen, false)) held = OpenFromStore(open_stored);
    if (held.ok()) held = HoldSpare(request);
    if (held.ok()) continue;
    spdlog::warn("no spare of layers [{}, {}): {}", request.layers.begin, request.layers.end,
                 held.error().message);
  }
}

Status ShardHost::HoldSpare(const ShardRequest& request) {
  // Sessions are in one stage at a time: the larger one's KV is what the limit has to allow for.
  const int64_t kv_per_layer =
      current_.stage->options().kv_budget_bytes / current_.request.layers.size();
  const int64_t kv_bytes =
      kv_per_layer * std::max(request.layers.size(), current_.request.layers.size());
  const auto room = static_cast<double>(RoomBytes(kv_bytes));
  LoadProgress progress;
  ASSIGN_OR_RETURN(Held held,
                   LoadStage(request, static_cast<int64_t>(room / kSpareMargin), &progress));
  spares_.push_back(std::move(held));
  return OkStatus();
}

void ShardHost::Unload() {
  current_ = {};
  spares_.clear();
}

int64_t ShardHost::OfferedBytes() const {
  const int64_t available = AvailableMemoryBytes();
  if (available <= 0) return memory_limit_bytes_;
  const int64_t ours = available + WeightsBytes();
  return memory_limit_bytes_ > 0 ? std::min(memory_limit_bytes_, ours) : ours;
}

int64_t ShardHost::RoomBytes(int64_t kv_bytes) const {
  const int64_t available = AvailableMemoryBytes();
  const int64_t free = available > 0 ? available : INT64_MAX;
  if (memory_limit_bytes_ == 0) return free;
  return std::min(free, std::max<int64_t>(memory_limit_bytes_ - WeightsBytes() - kv_bytes, 0));
}

int64_t ShardHost::WeightsBytes() const {
  int64_t bytes = current_.stage == nullptr ? 0 : current_.stage->memory().weights_bytes;
  for (const Held& held : spares_) bytes += held.stage->memory().weights_bytes;
  return bytes;
}

Result<ShardHost::Held> ShardHost::LoadStage(const ShardRequest& request, int64_t most_weight_bytes,
                                             LoadProgress* progress) {
  ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(*file_));
  StageOptions options;
  options.range = request.layers;
  options.stage_index = request.stage_index;
  options.kv_type = request.kv_type;
  options.most_weight_bytes = most_weight_bytes;
  options.kv_budget_bytes =
      config.KvBytesPerToken(request.layers.size(), request.kv_type) * request.kv_tokens;
  if (const int64_t room = RoomBytes(0); options.kv_budget_bytes > room) {
    return ResourceExhausted(fmt::format("KV for {} tokens needs {} MiB, this device has {} MiB",
                                         request.kv_tokens, options.kv_budget_bytes >> 20,
                                         room >> 20));
  }
  Held held;
  held.request = request;
  ASSIGN_OR_RETURN(held.stage, Stage::Load(file_, config, options, kernels_, pool_, progress));
  spdlog::debug("layers [{}, {}) packed, {} MiB", request.layers.begin, request.layers.end,
                held.stage->memory().weights_bytes >> 20);
  return held;
}

}  // namespace shoal
