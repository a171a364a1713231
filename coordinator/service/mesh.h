// Brings a pipeline up over given nodes and keeps it up: describe, plan, prepare, link, serve. When
// a node is lost, the engine's requests wait while a new pipeline of a higher epoch is made of the
// nodes that are left, and go on there; only if these cannot hold the model do they end with an
// error that names the node. A node that comes back is taken in again when nobody is disturbed.
//
// Thread rule: runs a supervisor thread of its own; every function is safe from any thread.
#pragma once

#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "coordinator/engine.h"
#include "coordinator/membership.h"
#include "coordinator/service/measure_cluster.h"
#include "coordinator/service/remote_pipeline.h"
#include "coordinator/service/wire_choice.h"
#include "partitioner/plan.h"

namespace shoal {

struct MeshOptions {
  std::vector<MeshNode> nodes;  // in pipeline order
  std::string model_path;
  Sha256Digest model_identity{};
  ModelShape shape;
  std::vector<int32_t> split;  // layers of each node; empty: planned
  // What is best: nodes and links are measured, and the plan may leave nodes out. Nothing: every
  // node has a part, by measured speed and memory.
  std::optional<Objective> objective;
  ProfileTarget profile;  // what to measure nodes with
  Workload workload;      // to plan for; kv_tokens is the one below
  int64_t kv_tokens = 0;  // that all sessions together may hold
  TensorType kv_type = TensorType::kF16;
  WireChoice wire = ActivationCodec{};  // how activations travel between nodes
};

class Mesh {
 public:
  // `engine` and `clock` outlive the mesh.
  Mesh(MeshOptions options, Engine& engine, const Clock& clock);
  // Takes the pipeline down; the engine's requests end with an error.
  ~Mesh();

  // Blocks until the engine is ready. Errors: what stands in the way, at once if waiting cannot
  // help (a file that is not a model, a plan that does not fit), else after `timeout_ms`.
  Status WaitReady(int timeout_ms);
  // The plan that serves now or served last.
  std::optional<Plan> plan() const;
  // What each node last said of itself, in the nodes' order; empty before the first plan.
  std::vector<NodeDescription> descriptions() const;

 private:
  // A node that was asked to describe itself.
  struct Asked {
    int32_t node = 0;  // index into options_.nodes
    std::unique_ptr<NodeLink> link;
    Result<NodeDescription> description;
  };
  using AskedNodes = std::vector<Asked>;

  void SupervisorThreadMain();
  Result<std::shared_ptr<RemotePipeline>> BringUp();
  Result<AskedNodes> AskEveryone();
  AskedNodes Ask(const std::vector<int32_t>& nodes, NodeLink::Patience patience) const;
  void Note(const AskedNodes& asked);
  Result<Plan> ChoosePlan(AskedNodes& asked);
  Status Measure();
  Result<Plan> MakePlan(const AskedNodes& asked) const;
  Result<PlanProblem> Problem(const AskedNodes& asked) const;
  Result<std::vector<ActivationCodec>> Codecs(const Plan& plan, const AskedNodes& asked) const;
  void Publish(const Plan& plan, const AskedNodes& asked);
  void Serve(const std::shared_ptr<RemotePipeline>& pipeline);
  std::optional<PipelineLoss> WatchOver(RemotePipeline& pipeline);
  bool ShouldTakeIn();
  void AfterFailure(const Error& error);
  void Announce(const Status& status);
  bool Pause(int timeout_ms);  // false: stopping

  const MeshOptions options_;
  Engine& engine_;
  const Clock& clock_;

  // The supervisor's alone.
  uint64_t epoch_ = 0;  // the highest so far
  Membership members_;
  std::optional<Cluster> measured_;  // all nodes; none: not measured
  std::vector<int32_t> serving_;     // nodes that the last plan's devices were
  std::vector<int32_t> outside_;     // nodes that the plan that serves did not count with
  std::future<AskedNodes> asking_;   // whether they are there again
  int64_t ask_next_ns_ = 0;
  int64_t served_since_ns_ = 0;
  std::optional<PipelineLoss> loss_;  // since which nothing serves; none: nothing served so far
  int64_t lost_at_ns_ = 0;
  int attempts_ = 0;  // since then, that failed

  mutable std::mutex mutex_;  // guards everything below
  std::condition_variable changed_;
  bool stop_ = false;
  bool ready_ = false;
  int failed_attempts_ = 0;  // since the last time it was ready
  std::optional<Error> last_error_;
  std::optional<Plan> plan_;
  std::vector<NodeDescription> descriptions_;

  std::thread supervisor_;
};

}  // namespace shoal
