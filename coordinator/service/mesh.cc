#include "coordinator/service/mesh.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "base/log.h"
#include "net/channel.h"
#include "partitioner/strategy.h"

namespace shoal {

namespace {

constexpr int kFirstBackoffMs = 100;
constexpr int kMostBackoffMs = 2000;
constexpr int kPollMs = 200;  // how soon a request to stop is noticed
// A user who waits for the first answer learns after this many attempts that a node is not there.
constexpr int kMostFirstAttempts = 2;
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
    : options_(std::move(options)), engine_(engine), clock_(clock), epoch_(0), supervisor_([this] {
        SupervisorThreadMain();
      }) {}

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
    } else {
      spdlog::warn("not ready: {}", pipeline.error().message);
      engine_.SetStarting(pipeline.error().message);
      Announce(pipeline.error());
      backoff_ms = std::min(2 * backoff_ms, kMostBackoffMs);
    }
  } while (Pause(backoff_ms));
}

void Mesh::Serve(const std::shared_ptr<RemotePipeline>& pipeline) {
  const Epoch epoch{epoch_};
  const auto stages = static_cast<int32_t>(options_.nodes.size());
  engine_.Attach(pipeline, {epoch, stages, options_.kv_tokens});
  pipeline->Start(engine_);
  spdlog::info("epoch {}: {} stages ready", epoch.value, stages);
  Announce(OkStatus());
  std::optional<Error> lost;
  do {
    lost = pipeline->WaitLost(kPollMs);
  } while (!lost && Pause(0));
  if (lost) {
    spdlog::warn("epoch {}: {}", epoch.value, lost->message);
  } else {
    lost = Cancelled("the coordinator is shutting down");
  }
  engine_.OnLost(epoch, *lost);
  Announce(*lost);
}

Result<std::shared_ptr<RemotePipeline>> Mesh::BringUp() {
  std::vector<std::unique_ptr<NodeLink>> nodes;
  std::vector<NodeDescription> descriptions;
  for (const MeshNode& node : options_.nodes) {
    engine_.SetStarting("waiting for node " + node.name);
    nodes.push_back(std::make_unique<NodeLink>(node, clock_));
    // One after the other: nodes on one machine would disturb each other's measurement.
    ASSIGN_OR_RETURN(NodeDescription description, nodes.back()->Describe());
    descriptions.push_back(std::move(description));
  }
  PipelineOrder order;
  epoch_ = std::max(epoch_ + 1, ClockEpoch());
  order.epoch = Epoch{epoch_};
  order.model_path = options_.model_path;
  order.model_identity = options_.model_identity;
  order.kv_tokens = options_.kv_tokens;
  order.kv_type = options_.kv_type;
  ASSIGN_OR_RETURN(order.plan, MakePlan(descriptions));
  {
    const std::lock_guard lock(mutex_);
    plan_ = order.plan;
    descriptions_ = std::move(descriptions);
  }
  return RemotePipeline::Build(std::move(nodes), order, clock_,
                               [this](const std::string& line) { engine_.SetStarting(line); });
}

// Nodes that share a machine share its memory, and were measured on the same processor: they count
// as equals, so that noise does not tilt the split.
Result<Plan> Mesh::MakePlan(const std::vector<NodeDescription>& descriptions) const {
  std::map<std::string, int> on_host;
  std::map<std::string, double> best_speed;
  for (const NodeDescription& description : descriptions) {
    ++on_host[description.host_id];
    double& best = best_speed[description.host_id];
    best = std::max(best, description.weight_bytes_per_s);
  }
  std::vector<DeviceProfile> devices;
  for (size_t i = 0; i < descriptions.size(); ++i) {
    const NodeDescription& description = descriptions[i];
    DeviceProfile device;
    device.name = options_.nodes[i].name;
    device.memory_bytes = description.memory_bytes / on_host[description.host_id];
    device.speeds = {{"*", {{1, best_speed[description.host_id]}}}};
    devices.push_back(std::move(device));
  }
  PlanProblem problem;
  problem.model = options_.shape;
  problem.workload.kv_tokens = options_.kv_tokens;
  problem.cluster = UniformCluster(std::move(devices), {.bytes_per_s = kAssumedBytesPerS});
  if (options_.split.empty()) return MakeSpeedProportional()->Place(problem);
  RETURN_IF_ERROR(CheckProblem(problem));
  std::vector<Placement> placements;
  for (int32_t begin = 0; const int32_t layers : options_.split) {
    const auto device = static_cast<int32_t>(placements.size());
    placements.push_back({device, StageRange{begin, begin + layers}});
    begin += layers;
  }
  if (placements.size() != descriptions.size()) {
    return InvalidArgument(fmt::format("the split has {} parts, there are {} devices",
                                       placements.size(), descriptions.size()));
  }
  return EvaluatePlan(problem, placements, "given");
}

}  // namespace shoal
