#include "coordinator/service/mesh.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <utility>

#include "base/log.h"
#include "net/channel.h"
#include "partitioner/optimal.h"
#include "partitioner/strategy.h"
#include "partitioner/subproblem.h"

namespace shoal {

namespace {

constexpr int kFirstBackoffMs = 100;
constexpr int kMostBackoffMs = 2000;
constexpr int kPollMs = 200;  // how soon a request to stop is noticed
// A user who waits for the first answer learns after this many attempts that a node is not there.
constexpr int kMostFirstAttempts = 2;
// After a loss: how long nodes have to say that they are there, and requests to find a new pipeline
// (hardly any where those that are there do not suffice, but a node may just be starting again).
constexpr NodeLink::Patience kQuick{500, 1000};
constexpr int64_t kHopelessMs = 800;
constexpr int64_t kResumeMs = 30'000;
constexpr int64_t kAskEveryMs = 1000;      // nodes outside the plan
constexpr int64_t kTakeInBusyMs = 30'000;  // after which a node that is back interrupts others
constexpr double kAssumedBytesPerS = 1e9;  // of links: they are not measured

// Epochs follow the wall clock, so that a coordinator that starts again, or takes nodes back from
// another one, is ahead of what they have seen.
uint64_t ClockEpoch() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

bool MayPass(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kDeadlineExceeded ||
         error.code == ErrorCode::kCancelled;
}

}  // namespace

Mesh::Mesh(MeshOptions options, Engine& engine, const Clock& clock)
    : options_(std::move(options)),
      engine_(engine),
      clock_(clock),
      members_(static_cast<int32_t>(options_.nodes.size())),
      supervisor_([this] { SupervisorThreadMain(); }) {}

Mesh::~Mesh() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  supervisor_.join();
}

Status Mesh::WaitReady(int timeout_ms) {
  std::unique_lock lock(mutex_);
  const auto settled = [this] {
    return ready_ || failed_attempts_ >= kMostFirstAttempts ||
           (last_error_ && !MayPass(*last_error_));
  };
  changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), settled);
  if (ready_) return OkStatus();
  if (last_error_) return *last_error_;
  return DeadlineExceeded(
      fmt::format("the nodes are not ready after {} ms: {}", timeout_ms, engine_.status().detail));
}

std::optional<Plan> Mesh::plan() const {
  const std::lock_guard lock(mutex_);
  return plan_;
}

std::vector<NodeDescription> Mesh::descriptions() const {
  const std::lock_guard lock(mutex_);
  return descriptions_;
}

bool Mesh::Pause(int timeout_ms) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [this] { return stop_; });
  return !stop_;
}

void Mesh::Announce(const Status& status) {
  const std::lock_guard lock(mutex_);
  ready_ = status.ok();
  last_error_ = status.ok() ? std::nullopt : std::optional<Error>(status.error());
  failed_attempts_ = status.ok() ? 0 : failed_attempts_ + 1;
  changed_.notify_all();
}

void Mesh::SupervisorThreadMain() {
  int backoff_ms = kFirstBackoffMs;
  do {
    Result<std::shared_ptr<RemotePipeline>> pipeline = BringUp();
    if (pipeline.ok()) {
      backoff_ms = kFirstBackoffMs;
      Serve(*pipeline);
      attempts_ = 0;
    } else {
      ++attempts_;
      AfterFailure(pipeline.error());
      backoff_ms = std::min(2 * backoff_ms, kMostBackoffMs);
    }
  } while (Pause(backoff_ms));
  engine_.GiveUp(Cancelled("the coordinator is shutting down"));
}

void Mesh::AfterFailure(const Error& error) {
  spdlog::warn("not ready: {}", error.message);
  engine_.SetStarting(error.message);
  Announce(error);
  if (!loss_) return;
  const bool hopeless =
      error.code == ErrorCode::kResourceExhausted || members_.Usable(clock_.NowNs()).empty();
  const int64_t waited_ms = (clock_.NowNs() - lost_at_ns_) / kNsPerMs;
  if (waited_ms < (hopeless ? kHopelessMs : kResumeMs) && (hopeless || MayPass(error))) return;
  engine_.GiveUp(
      Unavailable(fmt::format("{}; without it: {}", loss_->error.message, error.message)));
}

void Mesh::Serve(const std::shared_ptr<RemotePipeline>& pipeline) {
  const Epoch epoch{epoch_};
  const auto stages = static_cast<int32_t>(plan()->stages.size());
  engine_.Attach(pipeline, {epoch, stages, options_.kv_tokens, true});
  pipeline->Start(engine_);
  spdlog::info("epoch {}: {} stages ready", epoch.value, stages);
  Announce(OkStatus());
  served_since_ns_ = clock_.NowNs();
  loss_ = WatchOver(*pipeline);
  if (!loss_) loss_ = PipelineLoss{Cancelled("the coordinator is shutting down")};
  lost_at_ns_ = clock_.NowNs();
  if (loss_->node >= 0) members_.OnLoss(loss_->node, lost_at_ns_);
  spdlog::warn("epoch {}: {}", epoch.value, loss_->error.message);
  pipeline->Cancel();  // the engine may be waiting for a stage that reads no more
  engine_.OnLost(epoch, loss_->error);
  if (const int32_t waiting = engine_.status().queued; waiting > 0) {
    spdlog::warn("{} request{} for the nodes that are left", waiting,
                 waiting == 1 ? " waits" : "s wait");
  }
  Announce(loss_->error);
}

// Until the pipeline is lost or had better be made anew; nothing if the mesh is to stop.
std::optional<PipelineLoss> Mesh::WatchOver(RemotePipeline& pipeline) {
  do {
    if (std::optional<PipelineLoss> lost = pipeline.WaitLost(kPollMs)) {
      if (lost->node >= 0) lost->node = serving_[static_cast<size_t>(lost->node)];
      return lost;
    }
    if (ShouldTakeIn()) {
      return PipelineLoss{Unavailable("a node is back: the plan changes to take it in")};
    }
  } while (Pause(0));
  return std::nullopt;
}

// Asks the nodes outside the plan now and then. One that is there again, and trusted, is worth a
// new plan when nobody is disturbed, or after a while.
bool Mesh::ShouldTakeIn() {
  if (outside_.empty()) return false;
  const int64_t now_ns = clock_.NowNs();
  if (asking_.valid()) {
    if (asking_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return false;
    Note(asking_.get());
    ask_next_ns_ = now_ns + kAskEveryMs * kNsPerMs;
  } else if (now_ns >= ask_next_ns_) {
    asking_ = std::async(std::launch::async, [this] { return Ask(outside_, kQuick); });
  }
  const bool trusted = std::any_of(outside_.begin(), outside_.end(),
                                   [&](int32_t node) { return members_.trusted(node, now_ns); });
  if (!trusted) return false;
  const EngineStatus status = engine_.status();
  return status.running + status.queued == 0 ||
         now_ns - served_since_ns_ > kTakeInBusyMs * kNsPerMs;
}

Mesh::AskedNodes Mesh::Ask(const std::vector<int32_t>& nodes, NodeLink::Patience patience) const {
  std::vector<std::future<Asked>> asking;
  for (const int32_t node : nodes) {
    asking.push_back(std::async(std::launch::async, [this, node, patience] {
      auto link = std::make_unique<NodeLink>(options_.nodes[static_cast<size_t>(node)], clock_);
      Result<NodeDescription> description = link->Describe(patience);
      return Asked{node, std::move(link), std::move(description)};
    }));
  }
  AskedNodes asked;
  for (std::future<Asked>& answer : asking) asked.push_back(answer.get());
  return asked;
}

void Mesh::Note(const AskedNodes& asked) {
  for (const Asked& one : asked) {
    if (one.description.ok()) {
      members_.OnAnswer(one.node, clock_.NowNs());
    } else {
      members_.OnSilence(one.node);
    }
  }
}

// At first every node is waited for, one after the other: nodes on one machine would disturb each
// other's measurement. After a loss, those that answer at once are asked to take over.
Result<Mesh::AskedNodes> Mesh::AskEveryone() {
  std::vector<int32_t> everyone(options_.nodes.size());
  std::iota(everyone.begin(), everyone.end(), 0);
  if (loss_) {
    // The one that was just lost would keep the others waiting.
    if (attempts_ == 0 && everyone.size() > 1) std::erase(everyone, loss_->node);
    AskedNodes asked = Ask(everyone, kQuick);
    Note(asked);
    return asked;
  }
  AskedNodes asked;
  for (const int32_t node : everyone) {
    engine_.SetStarting("waiting for node " + options_.nodes[static_cast<size_t>(node)].name);
    asked.push_back(std::move(Ask({node}, NodeLink::Patience{}).front()));
    if (!asked.back().description.ok()) return asked.back().description.error();
  }
  Note(asked);
  if (options_.objective && options_.split.empty() && !measured_) RETURN_IF_ERROR(Measure());
  return asked;
}

// Over the nodes that are usable, or over all that are there if those are too few. Keeps in `asked`
// the nodes that the plan is over, in the order that its devices count.
Result<Plan> Mesh::ChoosePlan(AskedNodes& asked) {
  const std::vector<int32_t> usable = members_.Usable(clock_.NowNs());
  if (usable.empty()) return asked.front().description.error();
  const auto lacks = [](const Asked& one) { return !one.description.ok(); };
  asked.erase(std::remove_if(asked.begin(), asked.end(), lacks), asked.end());
  const auto rest = std::stable_partition(asked.begin(), asked.end(), [&](const Asked& one) {
    return std::find(usable.begin(), usable.end(), one.node) != usable.end();
  });
  AskedNodes others(std::make_move_iterator(rest), std::make_move_iterator(asked.end()));
  asked.erase(rest, asked.end());
  Result<Plan> plan = MakePlan(asked);
  if (plan.ok() || others.empty()) return plan;
  std::move(others.begin(), others.end(), std::back_inserter(asked));
  std::sort(asked.begin(), asked.end(),
            [](const Asked& a, const Asked& b) { return a.node < b.node; });
  return MakePlan(asked);
}

Result<std::shared_ptr<RemotePipeline>> Mesh::BringUp() {
  ASSIGN_OR_RETURN(AskedNodes asked, AskEveryone());
  PipelineOrder order;
  epoch_ = std::max(epoch_ + 1, ClockEpoch());
  order.epoch = Epoch{epoch_};
  order.model_path = options_.model_path;
  order.model_identity = options_.model_identity;
  order.kv_tokens = options_.kv_tokens;
  order.kv_type = options_.kv_type;
  ASSIGN_OR_RETURN(order.plan, ChoosePlan(asked));
  ASSIGN_OR_RETURN(order.codecs, Codecs(order.plan, asked));
  Publish(order.plan, asked);
  std::vector<std::unique_ptr<NodeLink>> links;
  for (Asked& one : asked) links.push_back(std::move(one.link));
  return RemotePipeline::Build(std::move(links), order, clock_,
                               [this](const std::string& line) { engine_.SetStarting(line); });
}

// The plan's devices are indices into `asked`; for everyone else they are indices of nodes.
void Mesh::Publish(const Plan& plan, const AskedNodes& asked) {
  serving_.clear();
  for (const Asked& one : asked) serving_.push_back(one.node);
  Plan shown = plan;
  for (PlannedStage& stage : shown.stages) {
    stage.device = serving_[static_cast<size_t>(stage.device)];
  }
  outside_.clear();
  for (int32_t node = 0; node < members_.size(); ++node) {
    if (std::find(serving_.begin(), serving_.end(), node) == serving_.end()) {
      outside_.push_back(node);
    }
  }
  const std::lock_guard lock(mutex_);
  plan_ = std::move(shown);
  descriptions_.resize(options_.nodes.size());
  for (const Asked& one : asked) {
    descriptions_[static_cast<size_t>(one.node)] = *one.description;
  }
}

Status Mesh::Measure() {
  MeasureOptions measure;
  measure.nodes = options_.nodes;
  measure.target = options_.profile;
  ASSIGN_OR_RETURN(measured_, MeasureCluster(measure, clock_, [this](const std::string& line) {
                     engine_.SetStarting(line);
                   }));
  return OkStatus();
}

// The devices are `asked`, whose nodes ascend. Nodes that share a machine share its memory, where no
// user has limited theirs; unless they were measured one by one, they count as equals, so that noise
// does not tilt the split.
Result<PlanProblem> Mesh::Problem(const AskedNodes& asked) const {
  std::map<std::string, int> on_host;
  std::map<std::string, double> best_speed;
  for (const Asked& one : asked) {
    const NodeDescription& description = *one.description;
    ++on_host[description.host_id];
    double& best = best_speed[description.host_id];
    best = std::max(best, description.weight_bytes_per_s);
  }
  PlanProblem problem;
  problem.model = options_.shape;
  problem.workload = options_.workload;
  problem.workload.kv_tokens = options_.kv_tokens;
  problem.objective = options_.objective.value_or(Objective::Latency());
  problem.cluster = measured_ ? *measured_
                              : UniformCluster(std::vector<DeviceProfile>(options_.nodes.size()),
                                               {.bytes_per_s = kAssumedBytesPerS});
  std::vector<int32_t> nodes;
  for (const Asked& one : asked) {
    const NodeDescription& description = *one.description;
    DeviceProfile& device = problem.cluster.devices[static_cast<size_t>(one.node)];
    device.name = options_.nodes[static_cast<size_t>(one.node)].name;
    device.memory_bytes = description.memory_bytes;
    if (!description.memory_limited) device.memory_bytes /= on_host[description.host_id];
    if (!measured_) device.speeds = {{"*", {{1, best_speed[description.host_id]}}}};
    nodes.push_back(one.node);
  }
  return ProblemOf(problem, nodes);
}

Result<std::vector<ActivationCodec>> Mesh::Codecs(const Plan& plan, const AskedNodes& asked) const {
  ASSIGN_OR_RETURN(const PlanProblem problem, Problem(asked));
  ASSIGN_OR_RETURN(std::vector<ActivationCodec> codecs, ChooseCodecs(options_.wire, problem, plan));
  for (size_t stage = 1; stage < codecs.size(); ++stage) {
    if (codecs[stage] == ActivationCodec{}) continue;
    spdlog::info("activations travel to stage {} as {}", stage, codecs[stage].ToString());
  }
  return codecs;
}

Result<Plan> Mesh::MakePlan(const AskedNodes& asked) const {
  ASSIGN_OR_RETURN(PlanProblem problem, Problem(asked));
  ChargeActivations(options_.wire, problem.model);
  const bool everyone = asked.size() == options_.nodes.size();
  if (options_.split.empty() || !everyone) {
    return measured_ ? MakeOptimal()->Place(problem) : MakeSpeedProportional()->Place(problem);
  }
  RETURN_IF_ERROR(CheckProblem(problem));
  std::vector<Placement> placements;
  for (int32_t begin = 0; const int32_t layers : options_.split) {
    const auto device = static_cast<int32_t>(placements.size());
    placements.push_back({device, StageRange{begin, begin + layers}});
    begin += layers;
  }
  if (placements.size() != asked.size()) {
    return InvalidArgument(fmt::format("the split has {} parts, there are {} devices",
                                       placements.size(), asked.size()));
  }
  return EvaluatePlan(problem, placements, "given");
}

}  // namespace shoal
