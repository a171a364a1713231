// How a mesh that serves takes in nodes without a part: asks who is there, has them fetch their
// part while the others serve, and only then changes the plan.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "coordinator/service/mesh.h"

namespace shoal {

namespace {

constexpr int64_t kAskEveryMs = 1000;
constexpr int64_t kTakeInBusyMs = 30'000;  // after which a node that is back interrupts others

}  // namespace

void Mesh::AskOutside() {
  const int64_t now_ns = clock_.NowNs();
  if (!asking_.valid()) {
    const std::vector<int32_t> outside = Outside();
    if (now_ns >= ask_next_ns_ && !outside.empty()) asking_ = StartAsking(outside, kQuickAnswer);
    return;
  }
  if (asking_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return;
  const AskedNodes asked = asking_.get();
  Note(asked);
  seen_.clear();
  for (const Asked& one : asked) {
    if (one.description.ok()) seen_.push_back({one.member, *one.description});
  }
  ask_next_ns_ = now_ns + kAskEveryMs * kNsPerMs;
}

// Those with a part and, if there are any, newcomers that are trusted; else nothing.
std::vector<PlannedNode> Mesh::WithNewcomers() const {
  std::vector<PlannedNode> nodes = seen_;
  std::erase_if(nodes, [&](const PlannedNode& node) {
    return !members_.knows(node.member) || !members_.trusted(node.member, clock_.NowNs()) ||
           HasPart(node.member);
  });
  return nodes.empty() ? nodes : WithThoseServing(std::move(nodes));
}

std::vector<PlannedNode> Mesh::WithThoseServing(std::vector<PlannedNode> others) const {
  for (const Placement& stage : lifecycle_.stages()) {
    others.push_back({stage.device, descriptions_[static_cast<size_t>(stage.device)]});
  }
  std::sort(others.begin(), others.end(),
            [](const PlannedNode& a, const PlannedNode& b) { return a.member < b.member; });
  return others;
}

// A newcomer is worth a new plan if that gains more than it costs, when nobody is disturbed or
// after a while.
bool Mesh::ShouldTakeIn() {
  AskOutside();
  const std::vector<PlannedNode> nodes = WithNewcomers();
  if (nodes.empty()) {
    DropAhead();
    return false;
  }
  const EngineStatus status = engine_.status();
  const bool idle = status.running + status.queued == 0;
  const bool may_interrupt = idle || clock_.NowNs() - served_since_ns_ > kTakeInBusyMs * kNsPerMs;
  if (ahead_) return HasFetchedAhead() && may_interrupt;
  if (!may_interrupt) return false;
  if (planner_.NeedsMeasurement(nodes)) return MeasureBeside(nodes) && idle;
  if (IsWorthIt(nodes)) FetchAhead(nodes);
  return false;
}

// Measures newcomers and links while the others serve, who remember what was measured of them. True
// if that did not work: then it takes the plan down, which would disturb an answer.
bool Mesh::MeasureBeside(const std::vector<PlannedNode>& nodes) {
  if (!measuring_.valid()) {
    if (unmeasured_ == MembersOf(nodes)) return true;
    measuring_members_ = MembersOf(nodes);
    measuring_ = std::async(std::launch::async, [order = MeasureOrder(measuring_members_), this] {
      return MeasureCluster(order, clock_,
                            [](const std::string& line) { spdlog::debug("{}", line); });
    });
    return false;
  }
  if (measuring_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return false;
  Result<Cluster> cluster = measuring_.get();
  if (cluster.ok()) {
    planner_.SetMeasured(std::move(*cluster), measuring_members_);
  } else {
    spdlog::info("to be measured when nobody asks: {}", cluster.error().message);
    unmeasured_ = measuring_members_;
  }
  return false;
}

bool Mesh::IsWorthIt(const std::vector<PlannedNode>& nodes) {
  TellPlannerOfLinks();
  RunningPlan running;
  running.placements = lifecycle_.stages();
  for (Placement& stage : running.placements) {
    const auto found = std::find_if(nodes.begin(), nodes.end(), [&](const PlannedNode& node) {
      return node.member == stage.device;
    });
    stage.device = static_cast<int32_t>(found - nodes.begin());
  }
  if (declined_ && *declined_ == MembersOf(nodes)) return false;
  const Result<ReplanDecision> decision = planner_.Decide(nodes, running);
  if (decision.ok() && decision->move) {
    declined_.reset();
    spdlog::info("a new plan: {}", decision->reason);
    return true;
  }
  declined_ = MembersOf(nodes);
  spdlog::info("no new plan: {}", decision.ok() ? decision->reason : decision.error().message);
  return false;
}

Result<PipelineOrder> Mesh::PlanAhead(const std::vector<PlannedNode>& nodes) const {
  ASSIGN_OR_RETURN(Plan plan, planner_.MakePlan(nodes, nodes.size() == nodes_.size()));
  ASSIGN_OR_RETURN(PipelineOrder order, OrderFor(nodes, std::move(plan)));
  order.epoch = NextEpoch(nodes);
  if (options_.spares > 0) order.spares = planner_.Spares(nodes, options_.spares);
  return order;
}

// Has the nodes of the plan to come fetch what they lack, which may take hours.
void Mesh::FetchAhead(const std::vector<PlannedNode>& nodes) {
  Result<PipelineOrder> order = PlanAhead(nodes);
  if (!order.ok()) {
    spdlog::warn("the plan stays as it is: {}", order.error().message);
    declined_ = MembersOf(nodes);
    return;
  }
  std::vector<std::unique_ptr<NodeLink>> links;
  for (const PlannedNode& node : nodes) links.push_back(LinkTo(node.member));
  ahead_ = std::make_unique<Ahead>();
  ahead_->members = MembersOf(nodes);
  ahead_->pipeline =
      std::make_unique<RemotePipeline>(std::move(links), std::move(*order), clock_, [] {});
  ahead_->fetching = std::async(std::launch::async,
                                [&pipeline = *ahead_->pipeline] { return pipeline.FetchAhead(); });
}

// A node that cannot is not taken in, and nobody was disturbed.
bool Mesh::HasFetchedAhead() {
  if (ahead_->fetched) return true;
  if (ahead_->fetching.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return false;
  const std::optional<PipelineLoss> failed = ahead_->fetching.get();
  if (!failed) return ahead_->fetched = true;
  spdlog::warn("the plan stays as it is: {}", failed->error.message);
  const int32_t member = ahead_->members[static_cast<size_t>(failed->node)];
  ahead_.reset();
  if (!members_.knows(member)) return false;
  if (members_.state(member) == MemberState::kPresent && !members_.watched(member)) {
    Tell(member, MemberEvent::kFailed);
  }
  return false;
}

void Mesh::DropAhead() {
  if (ahead_) ahead_->pipeline->Cancel();
  ahead_.reset();
}

}  // namespace shoal
