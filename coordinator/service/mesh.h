// Brings a pipeline up over given nodes and keeps it up: describe, plan, prepare, link, serve; when
// a node is lost, tell the engine at once (its requests end with an error that names the node),
// then begin again with a higher epoch until every stage answers.
//
// Thread rule: runs a supervisor thread of its own; every function is safe from any thread.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "coordinator/engine.h"
#include "coordinator/service/remote_pipeline.h"
#include "partitioner/plan.h"

namespace shoal {

struct MeshOptions {
  std::vector<MeshNode> nodes;  // in pipeline order
  std::string model_path;
  Sha256Digest model_identity{};
  ModelShape shape;
  std::vector<int32_t> split;  // layers of each node; empty: planned by measured speed and memory
  int64_t kv_tokens = 0;       // that all sessions together may hold
  TensorType kv_type = TensorType::kF16;
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
  // What each node said of itself, in the nodes' order; empty before the first plan.
  std::vector<NodeDescription> descriptions() const;

 private:
  void SupervisorThreadMain();
  Result<std::shared_ptr<RemotePipeline>> BringUp();
  Result<Plan> MakePlan(const std::vector<NodeDescription>& descriptions) const;
  void Serve(const std::shared_ptr<RemotePipeline>& pipeline);
  void Announce(const Status& status);
  bool Pause(int timeout_ms);  // false: stopping

  const MeshOptions options_;
  Engine& engine_;
  const Clock& clock_;
  uint64_t epoch_;  // the highest so far; the supervisor's alone

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
