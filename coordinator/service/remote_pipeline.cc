#include "coordinator/service/remote_pipeline.h"

#include <fmt/format.h>

#include <chrono>
#include <future>
#include <utility>

#include "base/log.h"
#include "net/channel.h"

namespace shoal {

namespace {

// A broken link is often the echo of a lost node: the node's own loss gets this long to show.
constexpr int kEchoMs = 300;

using std::chrono::milliseconds;

}  // namespace

Result<std::shared_ptr<RemotePipeline>> RemotePipeline::Build(
    std::vector<std::unique_ptr<NodeLink>> nodes, const PipelineOrder& order, const Clock& clock,
    const std::function<void(const std::string&)>& progress) {
  std::shared_ptr<RemotePipeline> pipeline(new RemotePipeline(std::move(nodes), order, clock));
  RETURN_IF_ERROR(pipeline->PrepareAll(progress));
  RETURN_IF_ERROR(pipeline->WatchAll());
  RETURN_IF_ERROR(pipeline->LinkAll());
  return pipeline;
}

NodeLink& RemotePipeline::node_of(size_t stage) {
  return *nodes_[static_cast<size_t>(order_.plan.stages[stage].device)];
}

LinkTarget RemotePipeline::TargetOf(size_t stage) {
  const StageRange& layers = order_.plan.stages[stage].layers;
  const MeshNode& node = node_of(stage).node();
  return {node.name,
          node.address,
          order_.epoch,
          order_.model_identity,
          {layers.begin, layers.end},
          order_.codecs[stage]};
}

LinkTarget RemotePipeline::PeerTargetOf(size_t stage) {
  LinkTarget target = TargetOf(stage);
  const MeshNode& node = node_of(stage).node();
  if (node.peer_address) target.address = *node.peer_address;
  return target;
}

Status RemotePipeline::PrepareAll(const std::function<void(const std::string&)>& progress) {
  const size_t stages = order_.plan.stages.size();
  std::mutex progress_mutex;  // guards percent
  std::vector<int64_t> percent(stages, 0);
  std::vector<std::future<Status>> loading;
  for (size_t stage = 0; stage < stages; ++stage) {
    const StageRange& layers = order_.plan.stages[stage].layers;
    ShardOrder shard{order_.epoch,
                     order_.model_path,
                     order_.model_identity,
                     {layers.begin, layers.end},
                     static_cast<int32_t>(stage),
                     order_.kv_tokens,
                     order_.kv_type,
                     order_.codecs[stage]};
    loading.push_back(std::async(std::launch::async, [&, stage, shard] {
      return node_of(stage).Prepare(shard, [&](int64_t done, int64_t total) {
        const std::lock_guard lock(progress_mutex);
        percent[stage] = total > 0 ? 100 * done / total : 0;
        std::string line = "loading:";
        for (size_t i = 0; i < stages; ++i) {
          line += fmt::format(" {} {} %", node_of(i).node().name, percent[i]);
        }
        progress(line);
      });
    }));
  }
  Status first;
  for (std::future<Status>& result : loading) {
    Status status = result.get();
    if (first.ok()) first = std::move(status);
  }
  return first;
}

Status RemotePipeline::WatchAll() {
  for (const PlannedStage& stage : order_.plan.stages) {
    NodeLink& node = *nodes_[static_cast<size_t>(stage.device)];
    RETURN_IF_ERROR(
        node.Watch(order_.epoch, [this, device = stage.device](Error error, bool direct) {
          Lose(std::move(error), direct ? device : -1);
        }));
  }
  heartbeat_thread_ = std::thread([this] { HeartbeatThreadMain(); });
  return OkStatus();
}

Status RemotePipeline::LinkAll() {
  const size_t stages = order_.plan.stages.size();
  ASSIGN_OR_RETURN(results_, LinkClient::Dial(TargetOf(stages - 1), v1::LINK_ROLE_RESULTS));
  for (size_t stage = stages - 1; stage > 0; --stage) {
    RETURN_IF_ERROR(node_of(stage - 1).ConnectTo(PeerTargetOf(stage)));
  }
  ASSIGN_OR_RETURN(steps_, LinkClient::Dial(TargetOf(0), v1::LINK_ROLE_STEPS));
  return OkStatus();
}

void RemotePipeline::Start(PipelineListener& listener) {
  result_thread_ = std::thread([this, &listener] { ResultThreadMain(listener); });
}

Status RemotePipeline::Submit(Step step) {
  Status sent = steps_->Send(step);
  if (!sent.ok()) Lose(sent.error(), -1);
  return sent;
}

std::optional<PipelineLoss> RemotePipeline::WaitLost(int timeout_ms) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, milliseconds(timeout_ms), [this] { return lost_ || reported_; });
  if (!lost_ && !reported_) return std::nullopt;
  changed_.wait_for(lock, milliseconds(kEchoMs), [this] { return lost_.has_value(); });
  return lost_ ? lost_ : PipelineLoss{*reported_};
}

void RemotePipeline::Lose(Error error, int32_t node) {
  const std::lock_guard lock(mutex_);
  if (node < 0) {
    if (!reported_) reported_ = std::move(error);
  } else if (!lost_) {
    lost_ = PipelineLoss{std::move(error), node};
  }
  changed_.notify_all();
}

void RemotePipeline::Cancel() {
  {
    const std::lock_guard lock(mutex_);
    if (!lost_) lost_ = PipelineLoss{Cancelled("the pipeline is being taken down")};
    changed_.notify_all();
  }
  for (const std::unique_ptr<NodeLink>& node : nodes_) node->Cancel();
  if (steps_ != nullptr) steps_->Cancel();
  if (results_ != nullptr) results_->Cancel();
}

RemotePipeline::~RemotePipeline() {
  Cancel();
  if (heartbeat_thread_.joinable()) heartbeat_thread_.join();
  if (result_thread_.joinable()) result_thread_.join();
  nodes_.clear();  // joins the watch threads, which call Lose
}

void RemotePipeline::ResultThreadMain(PipelineListener& listener) {
  while (true) {
    Result<StepResult> result = results_->Receive();
    if (!result.ok()) {
      Lose(result.error(), -1);
      return;
    }
    listener.OnResult(std::move(*result));
  }
}

void RemotePipeline::HeartbeatThreadMain() {
  std::unique_lock lock(mutex_);
  while (!lost_) {
    lock.unlock();
    for (size_t stage = 0; stage < order_.plan.stages.size(); ++stage) {
      NodeLink& node = node_of(stage);
      node.SendHeartbeat();
      const int64_t silent_ms = (clock_.NowNs() - node.last_heard_ns()) / kNsPerMs;
      if (silent_ms > kSilenceMs) {
        Lose(Unavailable(fmt::format("{} is gone: silent for {} ms", node.label(), silent_ms)),
             order_.plan.stages[stage].device);
      }
    }
    lock.lock();
    changed_.wait_for(lock, milliseconds(kHeartbeatMs), [this] { return lost_.has_value(); });
  }
}

}  // namespace shoal
