// What the commands that answer have in common: a model file, an engine, and a pipeline for it - in
// this process, over local node processes, or over nodes elsewhere.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "coordinator/engine.h"
#include "coordinator/service/mesh.h"
#include "model/gguf/gguf_file.h"
#include "model/transformer/stage.h"
#include "tools/local_nodes.h"
#include "tools/local_pipeline.h"
#include "tools/mesh_nodes.h"
#include "tools/tunnel_ends.h"

namespace shoal {

struct SessionOptions {
  std::string model;
  bool recalled = false;  // `model` is what was served last: the plan is to be that one, too
  int local_nodes = 0;    // 0: in this process, unless `nodes`
  std::vector<std::string> nodes;  // names or addresses, in pipeline order
  std::string hub_listen;          // where nodes that dial out come in; empty: nowhere
  bool all_nodes = false;  // of `mesh`, if neither local nodes nor `nodes` nor `split` are given
  bool patient = false;    // waits for one of them, however long that takes
  std::string state;       // folder, as --state says
  // Whose nodes they are; shared with the server that lets nodes join. Null: `state` says.
  std::shared_ptr<MeshAuthority> mesh;
  std::vector<int32_t> split;   // layers of each node; empty: planned
  std::string plan;             // as --plan takes it; empty: a default that suits the nodes
  int threads = 0;              // of this machine, whatever the number of local nodes; 0: auto
  int32_t context = 0;          // 0: the model's, at most kDefaultContext
  int32_t sessions = 1;         // that may hold a full context at once
  int32_t spares = 0;           // losses of nodes that are prepared for
  int32_t queue_timeout_s = 0;  // for a request to wait for memory; 0: for ever
  int32_t prefill_chunk = 0;    // 0: a default that suits the pipeline
  TensorType kv_type = TensorType::kF16;  // of keys and values
  std::string wire = "f32";               // as --wire takes it
  bool inexact_blas = false;    // of this process and local nodes; see kernels/inexact_blas.h
  std::string state_folder;     // where the plan over `nodes` is remembered; empty: nowhere
  int64_t max_upload_mbit = 0;  // of weights, to nodes; 0: unlimited
  std::string log_level = "warn";
  // With the plan over `nodes`; see MeshState::options.
  std::map<std::string, std::string> remembered;

  static constexpr int32_t kDefaultContext = 8192;
};

// The options of every such command but the threads; `model` is positional.
void AddSessionOptions(CLI::App& command, SessionOptions& options);

class ModelSession {
 public:
  using Progress = std::function<void(const std::string&)>;  // gets lines to show

  // Opens the model; its engine refuses requests until Start. Errors name the file, the node or
  // the option.
  static Result<std::unique_ptr<ModelSession>> Open(const SessionOptions& options);
  // Blocks until every stage has answered; `progress` gets lines to show meanwhile, as does
  // engine().status(). Called once. Errors name the node.
  Status Start(const Progress& progress);
  ~ModelSession();

  // A node that joined meanwhile, or is back at another address: it is taken in when that is worth
  // it. From any thread. Errors: the model runs over other nodes that were named, or in this
  // process; kInvalidArgument if the node is there already.
  Status AddNode(MeshNode node);

  Engine& engine() { return *engine_; }
  const GgufFile& file() const { return *file_; }
  const ModelShape& shape() const { return shape_; }
  const SessionOptions& options() const { return options_; }  // with the defaults filled in
  // Of the mesh; nothing for a model in this process.
  std::optional<Plan> plan() const;
  std::string DescribeStages() const;  // one line per stage, for people

 private:
  explicit ModelSession(const SessionOptions& options) : options_(options) {}
  Status FindNodes();
  Status FillDefaults();
  void Say(const std::string& line, const Progress& progress) const;
  Status StartHere(const Progress& progress);
  Result<WireChoice> Wire() const;
  Status OpenHub(const Progress& progress);
  // Where a node that dials out is reached. Error: there is no hub.
  Status ReachThroughHub(MeshNode& node) const;
  // Where one node reaches another by relay; opens a hub if need be. Any thread.
  Result<Address> Relay(const MeshNode& from, const MeshNode& to);
  Status StartMesh(const Progress& progress);

  SteadyClock clock_;
  SessionOptions options_;
  std::shared_ptr<const GgufFile> file_;  // shared with a stage in this process
  ModelShape shape_;
  std::unique_ptr<Engine> engine_;

  // In this process:
  const kernels::KernelTable* kernels_ = nullptr;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Stage> stage_;
  std::shared_ptr<LocalPipeline> pipeline_;  // shared with the engine
  // Over nodes:
  std::vector<MeshNode> nodes_;
  bool takes_all_ = false;  // those that join later too
  std::unique_ptr<LocalNodes> local_nodes_;
  std::unique_ptr<HubEnd> hub_;     // where nodes dial in, if they do
  std::mutex relays_mutex_;         // guards the next
  std::unique_ptr<HubEnd> relays_;  // without hub_: opened when it is needed
  std::unique_ptr<Mesh> mesh_;
};

}  // namespace shoal
