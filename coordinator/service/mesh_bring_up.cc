// How a mesh gets from its nodes to a pipeline that may serve: ask, plan, prepare, link, verify.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>

#include "base/log.h"
#include "coordinator/service/mesh.h"
#include "coordinator/service/mesh_state.h"

namespace shoal {

namespace {

// Epochs follow the wall clock, so that a coordinator that starts again, or takes nodes back from
// another one, is ahead of what they have seen; should the clock have gone back, they say what that
// is.
uint64_t ClockEpoch() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

}  // namespace

std::vector<PlannedNode> Mesh::PlannedOf(const AskedNodes& asked) {
  std::vector<PlannedNode> nodes;
  for (const Asked& one : asked) nodes.push_back({one.member, *one.description});
  return nodes;
}

std::unique_ptr<NodeLink> Mesh::LinkTo(int32_t member) const {
  const auto channel = channels_.find(member);
  return std::make_unique<NodeLink>(nodes_.at(member), clock_,
                                    channel == channels_.end() ? nullptr : channel->second);
}

std::future<Mesh::AskedNodes> Mesh::StartAsking(const std::vector<int32_t>& members,
                                                NodeLink::Patience patience) const {
  AskedNodes nodes;
  for (const int32_t member : members) {
    nodes.push_back({member, LinkTo(member), Unavailable("it was not asked")});
  }
  return std::async(std::launch::async, [nodes = std::move(nodes), patience]() mutable {
    std::vector<std::future<Asked>> asking;
    for (Asked& node : nodes) {
      asking.push_back(std::async(std::launch::async, [&node, patience] {
        node.description = node.link->Describe(patience);
        return std::move(node);
      }));
    }
    AskedNodes asked;
    for (std::future<Asked>& answer : asking) asked.push_back(answer.get());
    return asked;
  });
}

void Mesh::Note(const AskedNodes& asked) {
  for (const Asked& one : asked) {
    if (!members_.knows(one.member)) continue;  // it was removed meanwhile
    channels_[one.member] = one.link->channel();
    Tell(one.member, one.description.ok() ? MemberEvent::kAnswered : MemberEvent::kSilent);
  }
}

// At first every node that was given is asked, and waited for, one after the other: nodes on one
// machine would disturb each other's measurement. After a loss, those that answer at once are asked
// to take over.
Result<Mesh::AskedNodes> Mesh::AskEveryone() {
  std::vector<int32_t> everyone = members_.all();
  if (everyone.empty()) return Unavailable("waiting for a node");
  if (loss_ || !recalled_.empty() || options_.nodes.empty()) {
    // The one that was just lost would keep the others waiting.
    if (attempts_ == 0 && everyone.size() > 1 && lost_) std::erase(everyone, *lost_);
    AskedNodes asked = StartAsking(everyone, kQuickAnswer).get();
    Note(asked);
    return asked;
  }
  AskedNodes asked;
  for (const int32_t member : everyone) {
    engine_.SetStarting("waiting for node " + nodes_.at(member).name);
    AskedNodes answer = StartAsking({member}, NodeLink::Patience{}).get();
    asked.push_back(std::move(answer.front()));
    const Result<NodeDescription>& said = asked.back().description;
    if (said.ok()) continue;
    if (options_.needs_all) return said.error();
    spdlog::warn("to be taken in later: {}", said.error().message);
  }
  Note(asked);
  return asked;
}

MeasureOptions Mesh::MeasureOrder(const std::vector<int32_t>& members) const {
  MeasureOptions measure;
  measure.target = options_.profile;
  measure.relays = CanRelay(members);
  for (const int32_t member : members) measure.nodes.push_back(nodes_.at(member));
  return measure;
}

Status Mesh::MeasureIfNeeded(const AskedNodes& asked) {
  // After a loss there is no time: the nodes that are left were measured, or do without it.
  if (lost_ || !planner_.NeedsMeasurement(PlannedOf(asked))) return OkStatus();
  std::vector<int32_t> members = MembersOf(PlannedOf(asked));
  ASSIGN_OR_RETURN(Cluster cluster,
                   MeasureCluster(MeasureOrder(members), clock_,
                                  [this](const std::string& line) { engine_.SetStarting(line); }));
  planner_.SetMeasured(std::move(cluster), std::move(members));
  return OkStatus();
}

// The plan of before this start, if its nodes are known.
void Mesh::Recall() {
  wish_ = options_.wish.value_or("");
  if (options_.state_folder.empty()) return;
  const Result<MeshState> state = ReadMeshState(options_.state_folder);
  if (!state.ok()) {
    if (state.error().code != ErrorCode::kNotFound) spdlog::warn("{}", state.error().message);
    return;
  }
  least_epoch_ = state->epoch + 1;
  if (state->model_identity != ToHex(options_.model_identity)) return;
  if (!options_.wish) wish_ = state->wish;
  if (wish_ != state->wish) return;
  std::vector<Placement> stages = state->stages;
  for (Placement& stage : stages) {
    const std::string& name = state->nodes[static_cast<size_t>(stage.device)].name;
    const auto found = std::find_if(nodes_.begin(), nodes_.end(),
                                    [&](const auto& entry) { return entry.second.name == name; });
    if (found == nodes_.end()) return;
    stage.device = found->first;
  }
  recalled_ = std::move(stages);
}

void Mesh::Remember() {
  if (options_.state_folder.empty()) return;
  MeshState state;
  state.model_path = options_.model_path;
  state.model_identity = ToHex(options_.model_identity);
  state.wish = wish_;
  state.all_members = !options_.needs_all;
  state.epoch = lifecycle_.epoch().value;
  state.stages = lifecycle_.stages();
  state.options = options_.remembered;
  for (const auto& [member, node] : nodes_) {
    for (size_t i = 0; i < state.stages.size(); ++i) {
      if (lifecycle_.stages()[i].device != member) continue;
      state.stages[i].device = static_cast<int32_t>(state.nodes.size());
    }
    // The socket of a node that dials in is gone after this process.
    state.nodes.push_back({node.name, node.address_for_peers().ToString()});
  }
  const Status written = WriteMeshState(options_.state_folder, state);
  if (!written.ok()) spdlog::warn("the plan is not remembered: {}", written.error().message);
}

// The plan that served last, after one that did not come up or since the coordinator started again;
// nothing if its nodes are not all there or can do it no more.
std::optional<Plan> Mesh::KnownPlan(const AskedNodes& asked) const {
  const std::vector<PlannedNode> nodes = PlannedOf(asked);
  const std::vector<int32_t> there = MembersOf(nodes);
  std::optional<std::vector<Placement>> stages = lifecycle_.FallBack(there);
  if (!recalled_.empty()) stages = recalled_;
  if (!stages) return std::nullopt;
  for (Placement& stage : *stages) {
    const auto found = std::lower_bound(there.begin(), there.end(), stage.device);
    if (found == there.end() || *found != stage.device) return std::nullopt;
    stage.device = static_cast<int32_t>(found - there.begin());
  }
  Result<Plan> plan = planner_.Charge(nodes, *stages, "as before");
  if (!plan.ok()) return std::nullopt;
  return std::move(*plan);
}

// Over the nodes that are usable, or over all that are there if those are too few. Keeps in `asked`
// the nodes that the plan is over, in the order that its devices count.
Result<Plan> Mesh::ChoosePlan(AskedNodes& asked) {
  std::vector<int32_t> usable = members_.Usable(clock_.NowNs());
  if (!loss_ && options_.needs_all) usable = members_.all();  // who failed once, too
  if (usable.empty()) return asked.front().description.error();
  std::erase_if(asked, [](const Asked& one) { return !one.description.ok(); });
  if (std::optional<Plan> known = KnownPlan(asked)) return std::move(*known);
  RETURN_IF_ERROR(MeasureIfNeeded(asked));
  const auto rest = std::stable_partition(asked.begin(), asked.end(), [&](const Asked& one) {
    return std::binary_search(usable.begin(), usable.end(), one.member);
  });
  AskedNodes others(std::make_move_iterator(rest), std::make_move_iterator(asked.end()));
  asked.erase(rest, asked.end());
  Result<Plan> plan = planner_.MakePlan(PlannedOf(asked), asked.size() == nodes_.size());
  if (plan.ok() || others.empty()) return plan;
  std::move(others.begin(), others.end(), std::back_inserter(asked));
  std::sort(asked.begin(), asked.end(),
            [](const Asked& a, const Asked& b) { return a.member < b.member; });
  return planner_.MakePlan(PlannedOf(asked), asked.size() == nodes_.size());
}

Result<PipelineOrder> Mesh::OrderFor(const std::vector<PlannedNode>& nodes, Plan plan) const {
  PipelineOrder order;
  ASSIGN_OR_RETURN(order.codecs, planner_.Codecs(nodes, plan));
  order.plan = std::move(plan);
  order.model_path = options_.model_path;
  order.model_identity = options_.model_identity;
  order.kv_tokens = options_.kv_tokens;
  order.kv_type = options_.kv_type;
  order.weights = options_.weights;
  order.relay = options_.relay;
  return order;
}

// Beyond all that they have seen.
Epoch Mesh::NextEpoch(const std::vector<PlannedNode>& nodes) const {
  uint64_t epoch = std::max(least_epoch_, ClockEpoch());
  for (const PlannedNode& node : nodes) {
    epoch = std::max(epoch, node.description.highest_epoch + 1);
  }
  return Epoch{epoch};
}

Status Mesh::BringUp() {
  ASSIGN_OR_RETURN(AskedNodes asked, AskEveryone());
  TellPlannerOfLinks();
  Result<Plan> plan = ChoosePlan(asked);
  recalled_.clear();  // tried once
  if (!plan.ok()) return plan.error();
  const std::vector<PlannedNode> nodes = PlannedOf(asked);
  ASSIGN_OR_RETURN(PipelineOrder order, OrderFor(nodes, std::move(*plan)));
  for (size_t stage = 1; stage < order.codecs.size(); ++stage) {
    if (order.codecs[stage] == ActivationCodec{}) continue;
    spdlog::info("activations travel to stage {} as {}", stage, order.codecs[stage].ToString());
  }
  Publish(order.plan, asked);
  std::vector<Placement> stages = PlacementsOf(order.plan);
  for (Placement& stage : stages) stage.device = serving_[static_cast<size_t>(stage.device)];
  ASSIGN_OR_RETURN(order.epoch, lifecycle_.Propose(std::move(stages), NextEpoch(nodes).value));
  // After a loss there is no time to load more than is needed: nodes keep what they hold.
  if (!lost_ && options_.spares > 0) order.spares = planner_.Spares(nodes, options_.spares);
  std::vector<std::unique_ptr<NodeLink>> links;
  for (Asked& one : asked) links.push_back(std::move(one.link));
  pipeline_ = std::make_shared<RemotePipeline>(std::move(links), order, clock_, [this] {
    const std::lock_guard lock(mutex_);
    broken_ = true;
    changed_.notify_all();
  });
  {
    const std::lock_guard lock(mutex_);
    broken_ = false;
    if (stop_) return Cancelled("the coordinator is shutting down");
    coming_up_ = pipeline_;
  }
  std::optional<PipelineLoss> failed = CarryOut(order.epoch);
  {
    const std::lock_guard lock(mutex_);
    coming_up_ = nullptr;
  }
  if (!failed) return OkStatus();
  blamed_ = failed->node >= 0;
  TakeDown(*failed, PlanEvent::Kind::kFailed);
  return failed->error;
}

// The plan's devices are indices into `asked`; for everyone else they are members.
void Mesh::Publish(const Plan& plan, const AskedNodes& asked) {
  serving_.clear();
  for (const Asked& one : asked) serving_.push_back(one.member);
  Plan shown = plan;
  for (PlannedStage& stage : shown.stages) {
    stage.device = serving_[static_cast<size_t>(stage.device)];
  }
  const std::lock_guard lock(mutex_);
  plan_ = std::move(shown);
  for (const Asked& one : asked) {
    const auto index = static_cast<size_t>(one.member);
    if (index >= descriptions_.size()) descriptions_.resize(index + 1);
    descriptions_[index] = *one.description;
  }
}

// Does what the plan's life asks for, until it may serve.
std::optional<PipelineLoss> Mesh::CarryOut(Epoch epoch) {
  PlanAction action = PlanAction::kPrepare;
  while (action != PlanAction::kAttach) {
    std::vector<PlanEvent> done;
    if (std::optional<PipelineLoss> failed = Perform(action, done)) return failed;
    for (const PlanEvent& event : done) {
      const Result<PlanAction> next = lifecycle_.Apply(epoch, event);
      if (!next.ok()) return PipelineLoss{next.error()};
      action = *next;
    }
    if (action == PlanAction::kNothing) {
      return PipelineLoss{InternalError("a stage did not answer when its plan was tried")};
    }
  }
  return std::nullopt;
}

std::optional<PipelineLoss> Mesh::Perform(PlanAction action, std::vector<PlanEvent>& done) {
  std::optional<PipelineLoss> failed;
  PlanEvent::Kind kind = PlanEvent::Kind::kPrepared;
  std::vector<int32_t> stages(lifecycle_.stages().size());
  std::iota(stages.begin(), stages.end(), 0);
  switch (action) {
    case PlanAction::kPrepare:
      failed = pipeline_->Prepare([this](const std::string& line) { engine_.SetStarting(line); });
      break;
    case PlanAction::kLink:
      kind = PlanEvent::Kind::kLinked;
      failed = pipeline_->Watch();
      if (failed) break;
      for (const Placement& stage : lifecycle_.stages()) Tell(stage.device, MemberEvent::kWatched);
      failed = WhileWatched([this] { return pipeline_->Link(); });
      break;
    case PlanAction::kVerify:
      kind = PlanEvent::Kind::kAnswered;
      stages.clear();
      failed = WhileWatched([this, &stages] { return pipeline_->Verify(stages); }, true);
      break;
    default: CHECK(false, "no action of a plan that is to come up");
  }
  if (failed) {
    // A node that is gone is the cause of whatever else broke.
    return failed->node < 0 ? pipeline_->Lost().value_or(*failed) : failed;
  }
  for (const int32_t stage : stages) done.push_back({kind, stage});
  return std::nullopt;
}

// Runs what blocks on nodes; ends it when one of them falls silent meanwhile, or, once all links
// are to work, when anything else shows that the pipeline is lost.
std::optional<PipelineLoss> Mesh::WhileWatched(
    const std::function<std::optional<PipelineLoss>()>& blocking, bool linked) {
  std::future<std::optional<PipelineLoss>> result = std::async(std::launch::async, blocking);
  std::optional<PipelineLoss> lost;
  while (result.wait_for(std::chrono::milliseconds(kPollMs)) != std::future_status::ready) {
    if (lost) continue;
    lost = SilentNode();
    if (!lost && linked) lost = pipeline_->Lost();
    if (lost && lost->leaves) lost.reset();
    if (lost) pipeline_->Cancel();
  }
  std::optional<PipelineLoss> failed = result.get();
  return lost ? lost : failed;
}

// A node of the plan that was lost by being silent for too long.
std::optional<PipelineLoss> Mesh::SilentNode() {
  for (const Placement& stage : lifecycle_.stages()) {
    const auto index = std::find(serving_.begin(), serving_.end(), stage.device) - serving_.begin();
    members_.Heard(stage.device, pipeline_->heard_ns(static_cast<int32_t>(index)));
  }
  const std::vector<int32_t> lost = members_.Tick(clock_.NowNs());
  if (lost.empty()) return std::nullopt;
  const auto index = std::find(serving_.begin(), serving_.end(), lost.front()) - serving_.begin();
  return PipelineLoss{Unavailable(fmt::format("{} is gone: silent for {} ms",
                                              pipeline_->label(static_cast<int32_t>(index)),
                                              Membership::kLostNs / kNsPerMs)),
                      static_cast<int32_t>(index)};
}

}  // namespace shoal
