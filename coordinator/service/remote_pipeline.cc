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

std::string Describe(const ShardProgress& shard) {
  const auto percent = [](int64_t done, int64_t total) {
    return total > 0 ? 100 * done / total : 0;
  };
  if (shard.fetched < shard.to_fetch) {
    return fmt::format("fetched {} % of {} MiB", percent(shard.fetched, shard.to_fetch),
                       shard.to_fetch >> 20);
  }
  return fmt::format("{} %", percent(shard.loaded, shard.to_load));
}

}  // namespace

NodeLink& RemotePipeline::node_of(size_t stage) const {
  return *nodes_[static_cast<size_t>(order_.plan.stages[stage].device)];
}

LinkTarget RemotePipeline::TargetOf(size_t stage) {
  const StageRange& layers = order_.plan.stages[stage].layers;
  const MeshNode& node = node_of(stage).node();
  return {node.name,           node.address,          node.trust,
          order_.epoch,        order_.model_identity, {layers.begin, layers.end},
          order_.codecs[stage]};
}

LinkTarget RemotePipeline::PeerTargetOf(size_t stage) {
  LinkTarget target = TargetOf(stage);
  target.address = node_of(stage).node().address_for_peers();
  return target;
}

ShardOrder RemotePipeline::ShardOf(size_t stage) const {
  const auto range = [](const PlannedStage& planned) {
    return LayerRange{planned.layers.begin, planned.layers.end};
  };
  ShardOrder shard;
  shard.epoch = order_.epoch;
  shard.model_path = order_.model_path;
  shard.model_identity = order_.model_identity;
  shard.layers = range(order_.plan.stages[stage]);
  shard.stage_index = static_cast<int32_t>(stage);
  shard.kv_tokens = order_.kv_tokens;
  shard.kv_type = order_.kv_type;
  shard.codec = order_.codecs[stage];
  shard.weights = order_.weights;
  shard.member = order_.plan.stages[stage].device;
  const auto self = static_cast<size_t>(shard.member);
  if (!order_.spares.empty()) shard.spares = order_.spares[self];
  // What nodes that dial in sent each other would pass through here anyway.
  if (nodes_[self]->node().peer_address) return shard;
  for (int32_t i = 0; i < static_cast<int32_t>(nodes_.size()); ++i) {
    const MeshNode& node = nodes_[static_cast<size_t>(i)]->node();
    if (i == shard.member || node.peer_address) continue;
    shard.peers.push_back({node, i, {}});
    for (const PlannedStage& other : order_.plan.stages) {
      if (other.device == i) shard.peers.back().layers = range(other);
    }
  }
  return shard;
}

std::optional<PipelineLoss> RemotePipeline::Prepare(
    const std::function<void(const std::string&)>& progress) {
  const size_t stages = order_.plan.stages.size();
  std::mutex mutex;  // guards the next
  std::vector<ShardProgress> shown(stages);
  return PrepareAll(false, [&](size_t stage, const ShardProgress& now) {
    const std::lock_guard lock(mutex);
    shown[stage] = now;
    std::string line = "loading:";
    for (size_t i = 0; i < stages; ++i) {
      line += fmt::format(" {} {}", node_of(i).node().name, Describe(shown[i]));
    }
    progress(line);
  });
}

std::optional<PipelineLoss> RemotePipeline::FetchAhead() {
  return PrepareAll(true, [](size_t, const ShardProgress&) {});
}

std::optional<PipelineLoss> RemotePipeline::PrepareAll(
    bool fetch_only, const std::function<void(size_t, const ShardProgress&)>& show) {
  std::mutex mutex;  // guards the next
  std::optional<PipelineLoss> first;
  const auto prepare = [&](size_t stage) {
    ShardOrder shard = ShardOf(stage);
    shard.fetch_only = fetch_only;
    const Status prepared =
        node_of(stage).Prepare(shard, [&](const ShardProgress& now) { show(stage, now); });
    const std::lock_guard lock(mutex);
    if (prepared.ok() || first) return;
    first = PipelineLoss{prepared.error(), device_of(stage)};
    for (const std::unique_ptr<NodeLink>& node : nodes_) node->Cancel();  // they load for nothing
  };
  std::vector<std::future<void>> preparing;
  for (size_t stage = 0; stage < order_.plan.stages.size(); ++stage) {
    preparing.push_back(std::async(std::launch::async, prepare, stage));
  }
  for (const std::future<void>& one : preparing) one.wait();
  return first;
}

PipelineLoss RemotePipeline::LinkLoss(size_t stage, const Error& error) const {
  PipelineLoss loss = {error};
  loss.between = std::pair(device_of(stage - 1), device_of(stage));
  loss.relayed = GoesThroughHub(stage, openers_[stage]);
  return loss;
}

PipelineLoss RemotePipeline::LossOf(size_t stage, WatchEnd end, const Error& error) const {
  const size_t stages = order_.plan.stages.size();
  switch (end) {
    case WatchEnd::kLinkBefore: return stage > 0 ? LinkLoss(stage, error) : PipelineLoss{error};
    case WatchEnd::kLinkNext:
      return stage + 1 < stages ? LinkLoss(stage + 1, error) : PipelineLoss{error};
    case WatchEnd::kFailed: return {error};
    case WatchEnd::kLeaves: return {error, device_of(stage), true};
    case WatchEnd::kGone: return {error, device_of(stage)};
  }
  return {error};
}

std::optional<PipelineLoss> RemotePipeline::Watch() {
  for (size_t stage = 0; stage < order_.plan.stages.size(); ++stage) {
    const Status watched = node_of(stage).Watch(
        order_.epoch,
        [this, stage](WatchEnd end, const Error& error) { Lose(LossOf(stage, end, error)); });
    if (!watched.ok()) return PipelineLoss{watched.error(), device_of(stage)};
  }
  heartbeat_thread_ = std::thread([this] { HeartbeatThreadMain(); });
  return std::nullopt;
}

std::optional<PipelineLoss> RemotePipeline::Link() {
  const size_t last = order_.plan.stages.size() - 1;
  Result<std::unique_ptr<LinkClient>> results =
      LinkClient::Dial(TargetOf(last), v1::LINK_ROLE_RESULTS);
  if (!results.ok()) return PipelineLoss{results.error(), device_of(last)};
  Keep(std::move(*results), results_);
  for (size_t stage = last; stage > 0; --stage) {
    if (std::optional<PipelineLoss> lost = LinkStage(stage)) return lost;
  }
  Result<std::unique_ptr<LinkClient>> steps = LinkClient::Dial(TargetOf(0), v1::LINK_ROLE_STEPS);
  if (!steps.ok()) return PipelineLoss{steps.error(), device_of(0)};
  Keep(std::move(*steps), steps_);
  return std::nullopt;
}

// As planned, or else by whatever way there is: it may be a firewall that keeps the one end from
// dialling the other. Where there is none, it is not clear which of the two is the cause.
std::optional<PipelineLoss> RemotePipeline::LinkStage(size_t stage) {
  std::optional<PipelineLoss> loss;
  for (const LinkOpener opener : WaysInto(stage)) {
    const Status linked = OpenLink(stage, opener);
    if (linked.ok()) {
      openers_[stage] = opener;
      return std::nullopt;
    }
    spdlog::debug("{}", linked.error().message);
    if (!loss) {
      loss = LinkLoss(stage, linked.error());
      loss->relayed = false;
    }
    loss->relayed = loss->relayed || GoesThroughHub(stage, opener);
    const ErrorCode code = linked.error().code;
    const bool unreached = code == ErrorCode::kUnavailable || code == ErrorCode::kDeadlineExceeded;
    if (!unreached || IsOver()) break;
  }
  return loss;
}

std::vector<LinkOpener> RemotePipeline::WaysInto(size_t stage) const {
  const LinkOpener planned = order_.plan.stages[stage].opener;
  std::vector<LinkOpener> ways = {planned};
  const auto add = [&](LinkOpener other) {
    const bool known = std::any_of(ways.begin(), ways.end(), [&](LinkOpener way) {
      return way == other || (GoesThroughHub(stage, way) && GoesThroughHub(stage, other));
    });
    if (!known) ways.push_back(other);
  };
  add(LinkOpener::kSender);
  add(LinkOpener::kReceiver);
  if (order_.relay) add(LinkOpener::kRelay);
  return ways;
}

// To a node that dials in there is no other way for the sender.
bool RemotePipeline::GoesThroughHub(size_t stage, LinkOpener opener) const {
  return opener == LinkOpener::kRelay ||
         (opener == LinkOpener::kSender && node_of(stage).node().dials_out());
}

Status RemotePipeline::OpenLink(size_t stage, LinkOpener opener) {
  LinkTarget target = PeerTargetOf(opener == LinkOpener::kReceiver ? stage - 1 : stage);
  target.codec = order_.codecs[stage];
  NodeLink& from = node_of(stage - 1);
  NodeLink& to = node_of(stage);
  if (opener == LinkOpener::kReceiver) return to.ConnectBackTo(target);
  if (opener == LinkOpener::kRelay) {
    ASSIGN_OR_RETURN(target.address, order_.relay(from.node(), to.node()));
  }
  return from.ConnectTo(target);
}

bool RemotePipeline::IsOver() {
  const std::lock_guard lock(mutex_);
  return cancelled_ || lost_;
}

// Cancel may come while links are made.
void RemotePipeline::Keep(std::unique_ptr<LinkClient> link, std::unique_ptr<LinkClient>& as) {
  const std::lock_guard lock(mutex_);
  if (cancelled_) link->Cancel();
  as = std::move(link);
}

// Session 0 and step 0 are nobody's: the engine and the scheduler count from 1.
std::optional<PipelineLoss> RemotePipeline::Verify(std::vector<int32_t>& answered) {
  Step compute;
  compute.epoch = order_.epoch;
  compute.opens.push_back({SessionId{0}, 1, 1, SamplingParams{}});
  compute.slices.push_back({SessionId{0}, 0, 1, Output::kSample, {0}});
  Step close;
  close.epoch = order_.epoch;
  close.closes.push_back(SessionId{0});
  for (const Step* step : {&compute, &close}) {
    if (const Status sent = steps_->Send(*step); !sent.ok()) return PipelineLoss{sent.error()};
    Result<StepResult> result = results_->Receive();
    if (!result.ok()) return PipelineLoss{result.error()};
    if (step == &close) continue;
    for (const StageTiming& timing : result->timings) answered.push_back(timing.stage);
  }
  return std::nullopt;
}

void RemotePipeline::Start(PipelineListener& listener) {
  result_thread_ = std::thread([this, &listener] { ResultThreadMain(listener); });
}

Status RemotePipeline::Submit(Step step) {
  Status sent = steps_->Send(step);
  if (!sent.ok()) Lose({sent.error()});
  return sent;
}

std::optional<PipelineLoss> RemotePipeline::Lost() {
  std::unique_lock lock(mutex_);
  if (!lost_ && !reported_) return std::nullopt;
  changed_.wait_for(lock, milliseconds(kEchoMs), [this] { return lost_ || cancelled_; });
  return lost_ ? lost_ : reported_;
}

void RemotePipeline::Lose(PipelineLoss loss) {
  {
    const std::lock_guard lock(mutex_);
    if (cancelled_) return;  // what breaks now was cut
    if (loss.node < 0) {
      if (!reported_ || (!reported_->between && loss.between)) reported_ = std::move(loss);
    } else if (!lost_ || lost_->leaves) {
      // Who said that it goes has not failed when it is gone.
      loss.left = lost_ && lost_->node == loss.node;
      lost_ = std::move(loss);
    }
    changed_.notify_all();
  }
  on_broken_();
}

void RemotePipeline::Cancel() {
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (!lost_ && !reported_) lost_ = PipelineLoss{Cancelled("the pipeline is being taken down")};
    if (steps_ != nullptr) steps_->Cancel();
    if (results_ != nullptr) results_->Cancel();
    changed_.notify_all();
  }
  for (const std::unique_ptr<NodeLink>& node : nodes_) node->Cancel();
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
      Lose({result.error()});
      return;
    }
    last_result_ns_ = clock_.NowNs();
    listener.OnResult(std::move(*result));
  }
}

// What nodes said before the last result, or longer ago than their heartbeats take, may have
// passed.
void RemotePipeline::LoseStalledLinks() {
  const int64_t since_ns =
      std::max(last_result_ns_.load(), clock_.NowNs() - 2 * kHeartbeatMs * kNsPerMs);
  for (size_t stage = 1; stage < order_.plan.stages.size(); ++stage) {
    NodeLink& from = node_of(stage - 1);
    NodeLink& to = node_of(stage);
    const std::optional<StageProgress> sent = from.progress_since(since_ns);
    const std::optional<StageProgress> received = to.progress_since(since_ns);
    if (!sent || !received || !HasStalled(*sent, *received)) continue;
    Lose(LinkLoss(stage, Unavailable(fmt::format("{} gets nothing of what {} sends it", to.label(),
                                                 from.label()))));
  }
}

void RemotePipeline::HeartbeatThreadMain() {
  std::unique_lock lock(mutex_);
  while (!cancelled_) {
    lock.unlock();
    const bool heard = clock_.NowNs() < last_result_ns_ + kHeartbeatMs * kNsPerMs;
    if (!heard) LoseStalledLinks();
    for (size_t stage = 0; stage < order_.plan.stages.size(); ++stage) {
      node_of(stage).EndIfRevoked();
      if (!heard) node_of(stage).SendHeartbeat();
    }
    lock.lock();
    changed_.wait_for(lock, milliseconds(kHeartbeatMs), [this] { return cancelled_; });
  }
}

}  // namespace shoal
