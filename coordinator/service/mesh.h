// Brings a pipeline up over a mesh's nodes and keeps it up. Membership says which nodes are there,
// MeshPlanner where layers go, PlanLifecycle what comes next; this class asks, waits and does it.
// When a node is lost or leaves, the engine's requests wait while a plan of a higher epoch is made
// of the nodes that are left, and go on there; only if these cannot hold the model do they end with
// an error that names the node. A node that is new or comes back is taken in when that is worth it
// and nobody is disturbed.
//
// Thread rule: runs a supervisor thread of its own; every function is safe from any thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <future>
#include <map>
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
#include "coordinator/plan_lifecycle.h"
#include "coordinator/service/measure_cluster.h"
#include "coordinator/service/mesh_planner.h"
#include "coordinator/service/remote_pipeline.h"

namespace shoal {

struct MeshOptions {
  // In pipeline order; others may be added later. With none, the mesh waits for the first one.
  std::vector<MeshNode> nodes;
  bool needs_all = true;  // of them for the first plan; else those that are there will do
  bool patient = false;   // WaitReady waits for nodes as long as it takes
  std::string model_path;
  Sha256Digest model_identity{};
  PlannerOptions planner;
  ProfileTarget profile;  // what to measure nodes with
  int64_t kv_tokens = 0;  // that all sessions together may hold
  TensorType kv_type = TensorType::kF16;
  // How many losses are prepared for: nodes hold the stages that they would have then, where their
  // memory allows.
  int32_t spares = 0;
  // Where the plan that serves is remembered, so that the next start serves it without asking or
  // measuring anew; empty: nowhere.
  std::string state_folder;
  std::map<std::string, std::string> remembered;  // with that plan; see MeshState::options
  // How the user wants layers divided: a plan that was remembered for another wish is not served.
  // Nothing: as before.
  std::optional<std::string> wish;
  WeightsOffer weights;  // for nodes that have no file of the model
  RelayAddress relay;    // if it relays; called on threads of the mesh's own
};

class Mesh {
 public:
  // `engine` and `clock` outlive the mesh.
  Mesh(MeshOptions options, Engine& engine, const Clock& clock);
  // Takes the pipeline down; the engine's requests end with an error.
  ~Mesh();

  // Blocks until the engine is ready. Errors: what stands in the way, at once if waiting cannot
  // help (a file that is not a model, a plan that does not fit), else, unless `patient`, when
  // nothing has got on for `timeout_ms`, or twice that.
  Status WaitReady(int timeout_ms);

  // The node is asked from now on, and taken in when that is worth it, until it is revoked. The
  // same member (or Unix socket) at another address has moved: it is removed. Error:
  // kInvalidArgument if it is there already.
  Status AddNode(const MeshNode& given);

  // The plan that serves now or served last; devices are indices of descriptions().
  std::optional<Plan> plan() const;
  // What each node last said of itself, in the order in which they were added, those that were
  // removed included; without a name if it has said nothing yet.
  std::vector<NodeDescription> descriptions() const;

 private:
  // How often answers of nodes outside the plan, and silence before a plan serves, are looked for.
  static constexpr int kPollMs = 100;
  // After a loss there is no time to wait for longer than one does for heartbeats.
  static constexpr NodeLink::Patience kQuickAnswer{500, Membership::kLostNs / kNsPerMs};
  // A node that was asked to describe itself.
  struct Asked {
    int32_t member = 0;
    std::unique_ptr<NodeLink> link;
    Result<NodeDescription> description;
  };
  using AskedNodes = std::vector<Asked>;
  // Why a plan that served does so no more. The nodes of losses are indices into serving_.
  struct Ending {
    PlanEvent::Kind kind;
    PipelineLoss loss;
  };
  struct Change {
    MeshNode node;
    bool removed = false;
    std::string reason;
  };

  void SupervisorThreadMain();
  // Nodes that came or went; the loss, if one had a part in the plan.
  std::optional<PipelineLoss> TakeChanges();
  // Which nodes are there.
  std::unique_ptr<NodeLink> LinkTo(int32_t member) const;
  std::future<AskedNodes> StartAsking(const std::vector<int32_t>& members,
                                      NodeLink::Patience patience) const;
  void Note(const AskedNodes& asked);
  bool MayStay(const PipelineLoss& loss);
  bool CanDoWithout(int32_t leaving) const;
  static std::vector<PlannedNode> PlannedOf(const AskedNodes& asked);  // REQUIRES answers of all
  Result<AskedNodes> AskEveryone();
  MeasureOptions MeasureOrder(const std::vector<int32_t>& members) const;
  Status MeasureIfNeeded(const AskedNodes& asked);
  bool HasPart(int32_t member) const;    // in the plan that serves
  std::vector<int32_t> Outside() const;  // it: those without a part
  // Nodes without a part.
  void AskOutside();
  std::vector<PlannedNode> WithNewcomers() const;
  // Other nodes and those of the plan that serves, ascending by member.
  std::vector<PlannedNode> WithThoseServing(std::vector<PlannedNode> others) const;
  bool ShouldTakeIn();
  bool MeasureBeside(const std::vector<PlannedNode>& nodes);
  bool IsWorthIt(const std::vector<PlannedNode>& nodes);
  Result<PipelineOrder> PlanAhead(const std::vector<PlannedNode>& nodes) const;
  void FetchAhead(const std::vector<PlannedNode>& nodes);
  bool HasFetchedAhead();
  void DropAhead();
  // From a plan to a pipeline that serves, and back.
  void Recall();
  void Remember();
  std::optional<Plan> KnownPlan(const AskedNodes& asked) const;
  Result<Plan> ChoosePlan(AskedNodes& asked);
  Result<PipelineOrder> OrderFor(const std::vector<PlannedNode>& nodes, Plan plan) const;
  Epoch NextEpoch(const std::vector<PlannedNode>& nodes) const;
  Status BringUp();
  std::optional<PipelineLoss> CarryOut(Epoch epoch);
  std::optional<PipelineLoss> Perform(PlanAction action, std::vector<PlanEvent>& done);
  std::optional<PipelineLoss> WhileWatched(
      const std::function<std::optional<PipelineLoss>()>& blocking, bool linked = false);
  std::optional<PipelineLoss> SilentNode();
  void Serve();
  Ending WatchOver();
  void TakeDown(const PipelineLoss& loss, PlanEvent::Kind event);
  void NoteBroken(const PipelineLoss& loss);
  void NoteOpeners();
  bool CanRelay(const std::vector<int32_t>& members) const;  // between any two of them
  MeshPlanner::KnownLinks LinksNow() const;
  void TellPlannerOfLinks();
  void Tell(int32_t member, MemberEvent event);
  void Publish(const Plan& plan, const AskedNodes& asked);
  void AfterFailure(const Error& error);
  void Announce(const Status& status, bool may_pass = true);
  bool Pause(int timeout_ms);  // false: stopping
  bool Rest();                 // while a plan serves; false: stopping

  const MeshOptions options_;
  Engine& engine_;
  const Clock& clock_;

  // The supervisor's alone.
  Membership members_;
  std::map<int32_t, MeshNode> nodes_;  // by member
  // That they were reached by last: nobody waits for handshakes after a loss. Shared with links.
  std::map<int32_t, std::shared_ptr<grpc::Channel>> channels_;
  MeshPlanner planner_;
  PlanLifecycle lifecycle_;
  std::vector<Placement> recalled_;  // devices are members; empty: no plan of before this start
  std::string wish_;
  uint64_t least_epoch_ = 0;                  // beyond that of the plan before
  std::shared_ptr<RemotePipeline> pipeline_;  // second owner: the engine, until OnLost
  std::vector<int32_t> serving_;              // members that the pipeline's nodes are
  std::optional<bool> stays_;                 // who said that it goes, since it cannot be replaced
  std::future<AskedNodes> asking_;            // those outside the plan
  std::vector<PlannedNode> seen_;             // of them, who answered
  int64_t ask_next_ns_ = 0;
  int64_t served_since_ns_ = 0;
  // A measurement while a plan serves, of which members, and those of whom it failed.
  std::future<Result<Cluster>> measuring_;
  std::vector<int32_t> measuring_members_;
  std::optional<std::vector<int32_t>> unmeasured_;
  // What the nodes of a plan to come fetch while this one serves.
  struct Ahead {
    std::vector<int32_t> members;              // that its nodes are
    std::unique_ptr<RemotePipeline> pipeline;  // outlives the next
    std::future<std::optional<PipelineLoss>> fetching;
    bool fetched = false;
  };
  std::unique_ptr<Ahead> ahead_;
  // The nodes over which a plan was last found not to be worth the move.
  std::optional<std::vector<int32_t>> declined_;
  std::optional<PipelineLoss> loss_;  // since which nothing serves; none: nothing served so far
  std::optional<int32_t> lost_;       // the member that was its cause
  bool blamed_ = false;               // one member for the attempt that failed last
  int64_t lost_at_ns_ = 0;
  int attempts_ = 0;  // since then, that failed
  // For how long plans do without what broke: each time twice as long.
  struct Avoidance {
    int64_t until_ns = 0;
    int64_t for_ns = 0;
    void Begin(int64_t now_ns);
  };
  struct BrokenLink {
    Avoidance direct;
    Avoidance relayed;
  };
  std::map<std::pair<int32_t, int32_t>, BrokenLink> broken_links_;  // the lesser member first
  // Who opened the link from one member to another, last time.
  std::map<std::pair<int32_t, int32_t>, LinkOpener> openers_;
  std::string warned_;  // why it is not ready, as the log has it

  mutable std::mutex mutex_;  // guards everything below
  std::condition_variable changed_;
  bool stop_ = false;
  bool broken_ = false;                        // pipeline_ is lost
  std::shared_ptr<RemotePipeline> coming_up_;  // pipeline_, until it serves or has failed
  bool ready_ = false;
  int failed_attempts_ = 0;  // since the last time it was ready
  std::optional<Error> last_error_;
  bool may_pass_ = true;  // what stands in the way, if one waits
  struct Known {
    std::string name;
    Address address;
  };
  std::map<std::string, Known> known_;  // by member id, or name where there is none
  std::vector<Change> changes_;         // that the supervisor has not taken yet
  std::optional<Plan> plan_;
  std::vector<NodeDescription> descriptions_;

  std::thread supervisor_;
};

}  // namespace shoal
