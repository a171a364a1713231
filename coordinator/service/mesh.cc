#include "coordinator/service/mesh.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.h"

namespace shoal {

namespace {

constexpr int kFirstBackoffMs = 100;
constexpr int kMostBackoffMs = 2000;
// A user who waits for the first answer learns after this many attempts that a node is not there.
constexpr int kMostFirstAttempts = 2;
// After a loss: how long nodes have to say that they are there, and requests to find a new pipeline
// (hardly any where those that are there do not suffice, but a node may just be starting again).
constexpr int64_t kHopelessMs = 800;
constexpr int64_t kResumeMs = 30'000;
constexpr int64_t kFirstAvoidNs = 60 * kNsPerS;
constexpr int64_t kMostAvoidNs = 3600 * kNsPerS;

bool MayPass(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kDeadlineExceeded ||
         error.code == ErrorCode::kCancelled;
}

// What a node is known by: members may be renamed, and another one may then get the name.
const std::string& KeyOf(const MeshNode& node) {
  return node.trust.id.empty() ? node.name : node.trust.id;
}

bool IsRevoked(const MeshNode& node) {
  return node.trust.own != nullptr && node.trust.own->IsRevoked(node.trust.id);
}

}  // namespace

Mesh::Mesh(MeshOptions options, Engine& engine, const Clock& clock)
    : options_(std::move(options)), engine_(engine), clock_(clock), planner_(options_.planner) {
  for (const MeshNode& node : options_.nodes) {
    const Status added = AddNode(node);
    CHECK(added.ok(), added.error().message);
  }
  supervisor_ = std::thread([this] { SupervisorThreadMain(); });
}

Mesh::~Mesh() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    if (coming_up_ != nullptr) coming_up_->Cancel();
  }
  changed_.notify_all();
  supervisor_.join();
}

Status Mesh::WaitReady(int timeout_ms) {
  std::unique_lock lock(mutex_);
  const auto settled = [this] {
    return ready_ || (!options_.patient && failed_attempts_ >= kMostFirstAttempts) ||
           (last_error_ && !may_pass_);
  };
  std::string doing;
  while (!changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), settled)) {
    lock.unlock();  // the engine calls the mesh with its own lock held
    const std::string now = engine_.status().detail;
    lock.lock();
    if (std::exchange(doing, now) != now || options_.patient) continue;
    if (last_error_) break;
    return DeadlineExceeded(
        fmt::format("the nodes are not ready, and for {} ms nothing got on: {}", timeout_ms, now));
  }
  return ready_ ? OkStatus() : Status(*last_error_);
}

Status Mesh::AddNode(const MeshNode& given) {
  MeshNode node = given;
  const std::lock_guard lock(mutex_);
  // Another one may have been called so when it came.
  const bool taken = std::any_of(known_.begin(), known_.end(), [&](const auto& entry) {
    return entry.first != KeyOf(given) && entry.second.name == given.name;
  });
  if (taken) node.name = fmt::format("{} ({})", given.name, KeyOf(given));
  const auto [known, added] = known_.emplace(KeyOf(node), Known{node.name, node.address});
  if (!added && known->second.address == node.address) {
    return InvalidArgument(fmt::format("there is a node {} already", node.name));
  }
  if (!added) {
    changes_.push_back({node, true, fmt::format("it has moved to {}", node.address.ToString())});
    known->second = {node.name, node.address};
  }
  changes_.push_back({node, false, {}});
  changed_.notify_all();
  return OkStatus();
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
  changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                    [this] { return stop_ || !changes_.empty(); });
  return !stop_;
}

// Until there may be something to do; what comes is not waited for with a timer, since each wake
// takes a stage's processor away.
bool Mesh::Rest() {
  const bool may_take_in = asking_.valid() || !Outside().empty();
  const int64_t quiet_ns = members_.QuietUntilNs() - clock_.NowNs();
  const int64_t timeout_ns =
      may_take_in ? kPollMs * kNsPerMs : std::clamp(quiet_ns, int64_t{0}, Membership::kLostNs) + 1;
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::nanoseconds(timeout_ns),
                    [this] { return stop_ || broken_ || !changes_.empty(); });
  return !stop_;
}

void Mesh::Announce(const Status& status, bool may_pass) {
  const std::lock_guard lock(mutex_);
  may_pass_ = may_pass;
  ready_ = status.ok();
  last_error_ = status.ok() ? std::nullopt : std::optional<Error>(status.error());
  failed_attempts_ = status.ok() ? 0 : failed_attempts_ + 1;
  changed_.notify_all();
}

// What cannot happen is logged and changes nothing.
void Mesh::Tell(int32_t member, MemberEvent event) {
  const Status applied = members_.Apply(member, event, clock_.NowNs());
  if (!applied.ok()) spdlog::warn("{}", applied.error().message);
}

std::optional<PipelineLoss> Mesh::TakeChanges() {
  std::vector<Change> changes;
  {
    const std::lock_guard lock(mutex_);
    changes.swap(changes_);
    for (const auto& [member, node] : nodes_) {
      if (!IsRevoked(node)) continue;
      known_.erase(KeyOf(node));
      changes.push_back({node, true, "it was revoked"});
    }
  }
  std::optional<PipelineLoss> loss;
  for (const Change& change : changes) {
    if (!change.removed) {
      const Result<int32_t> member = members_.Add(KeyOf(change.node));
      CHECK(member.ok(), "known_ holds every key once");
      nodes_.emplace(*member, change.node);
      ask_next_ns_ = 0;
      continue;
    }
    const auto found = std::find_if(nodes_.begin(), nodes_.end(), [&](const auto& entry) {
      return KeyOf(entry.second) == KeyOf(change.node);
    });
    if (found == nodes_.end()) continue;  // it moved and was revoked
    const int32_t member = found->first;
    if (members_.watched(member)) {
      loss = PipelineLoss{
          Unavailable(fmt::format("node {} was removed: {}", change.node.name, change.reason))};
    }
    spdlog::info("node {} is removed: {}", change.node.name, change.reason);
    static_cast<void>(members_.Remove(member));
    channels_.erase(member);
    const auto is_of = [member](const auto& link) {
      return link.first.first == member || link.first.second == member;
    };
    std::erase_if(broken_links_, is_of);
    std::erase_if(openers_, is_of);
    nodes_.erase(found);
  }
  return loss;
}

void Mesh::SupervisorThreadMain() {
  int backoff_ms = kFirstBackoffMs;
  static_cast<void>(TakeChanges());  // nothing serves
  Recall();
  do {
    static_cast<void>(TakeChanges());
    blamed_ = false;
    const Status up = BringUp();
    if (up.ok()) {
      warned_.clear();
      backoff_ms = kFirstBackoffMs;
      Serve();
      attempts_ = 0;
    } else {
      ++attempts_;
      AfterFailure(up.error());
      backoff_ms = std::min(2 * backoff_ms, kMostBackoffMs);
    }
  } while (Pause(backoff_ms));
  DropAhead();
  engine_.GiveUp(Cancelled("the coordinator is shutting down"));
}

void Mesh::AfterFailure(const Error& error) {
  engine_.SetStarting(error.message);
  if (nodes_.empty() && !loss_) return;  // not a failure: the first node is waited for
  const bool news = std::exchange(warned_, error.message) != error.message;
  spdlog::log(news ? spdlog::level::warn : spdlog::level::debug, "not ready: {}", error.message);
  // Where not everyone is needed, the next attempt does without the member that failed.
  Announce(error, MayPass(error) || (blamed_ && !options_.needs_all));
  if (!loss_) return;
  const bool hopeless =
      error.code == ErrorCode::kResourceExhausted || members_.Usable(clock_.NowNs()).empty();
  const int64_t waited_ms = (clock_.NowNs() - lost_at_ns_) / kNsPerMs;
  if (waited_ms < (hopeless ? kHopelessMs : kResumeMs) && (hopeless || MayPass(error))) return;
  engine_.GiveUp(
      Unavailable(fmt::format("{}; without it: {}", loss_->error.message, error.message)));
}

void Mesh::Serve() {
  const Epoch epoch = lifecycle_.epoch();
  const auto stages = static_cast<int32_t>(lifecycle_.stages().size());
  engine_.Attach(pipeline_, {epoch, stages, options_.kv_tokens, true});
  pipeline_->Start(engine_);
  NoteOpeners();
  const Result<PlanAction> attached = lifecycle_.Apply(epoch, {PlanEvent::Kind::kAttached});
  CHECK(attached.ok(), attached.error().message);
  spdlog::info("epoch {}: {} stages ready", epoch.value, stages);
  Remember();  // requests are served already; who is told that it is ready may rely on this
  Announce(OkStatus());
  served_since_ns_ = clock_.NowNs();
  stays_.reset();
  const Ending ending = WatchOver();
  if (ending.loss.error.code == ErrorCode::kCancelled) {
    spdlog::debug("epoch {}: {}", epoch.value, ending.loss.error.message);
  } else {
    spdlog::warn("epoch {}: {}", epoch.value, ending.loss.error.message);
  }
  loss_ = ending.loss;
  lost_.reset();
  if (ending.loss.node >= 0) lost_ = serving_[static_cast<size_t>(ending.loss.node)];
  lost_at_ns_ = clock_.NowNs();
  TakeDown(ending.loss, ending.kind);
  if (const int32_t waiting = engine_.status().queued; waiting > 0) {
    spdlog::warn("{} request{} for the nodes that are left", waiting,
                 waiting == 1 ? " waits" : "s wait");
  }
  Announce(ending.loss.error);
}

// Until the pipeline is lost, had better be made anew, or is not wanted any more.
Mesh::Ending Mesh::WatchOver() {
  do {
    if (std::optional<PipelineLoss> lost = pipeline_->Lost(); lost && !MayStay(*lost)) {
      return {lost->leaves ? PlanEvent::Kind::kDrain : PlanEvent::Kind::kFailed, *lost};
    }
    if (std::optional<PipelineLoss> silent = SilentNode()) {
      return {PlanEvent::Kind::kFailed, *silent};
    }
    if (std::optional<PipelineLoss> removed = TakeChanges()) {
      return {PlanEvent::Kind::kDrain, *removed};
    }
    if (ShouldTakeIn()) {
      return {PlanEvent::Kind::kDrain,
              {Unavailable("a node is back: the plan changes to take it in")}};
    }
  } while (Rest());
  return {PlanEvent::Kind::kDrain, {Cancelled("the coordinator is shutting down")}};
}

void Mesh::Avoidance::Begin(int64_t now_ns) {
  for_ns = std::clamp(2 * for_ns, kFirstAvoidNs, kMostAvoidNs);
  until_ns = now_ns + for_ns;
}

bool Mesh::CanRelay(const std::vector<int32_t>& members) const {
  const auto has_identity = [&](int32_t member) { return nodes_.at(member).trust.own != nullptr; };
  return options_.relay && std::all_of(members.begin(), members.end(), has_identity);
}

// Between two nodes that cannot reach each other, though the coordinator reaches both, it relays
// for a while; where that does not work either, they get no neighbouring stages.
void Mesh::NoteBroken(const PipelineLoss& loss) {
  if (!loss.between) return;
  const auto [one, other] = std::minmax(serving_[static_cast<size_t>(loss.between->first)],
                                        serving_[static_cast<size_t>(loss.between->second)]);
  if (!members_.knows(one) || !members_.knows(other)) return;
  BrokenLink& link = broken_links_[{one, other}];
  link.direct.Begin(clock_.NowNs());
  const bool relays = CanRelay({one, other}) && !loss.relayed;
  if (!relays) link.relayed.Begin(clock_.NowNs());
  spdlog::warn("nodes {} and {} do not reach each other{}: for {} s {}", nodes_.at(one).name,
               nodes_.at(other).name, loss.relayed ? ", nor by relay" : "",
               (relays ? link.direct : link.relayed).for_ns / kNsPerS,
               relays ? "the coordinator relays between them" : "they are no neighbours");
}

// Who opened each link of the plan that came up: another end than planned shows what there is.
void Mesh::NoteOpeners() {
  const std::vector<Placement>& stages = lifecycle_.stages();
  for (size_t stage = 1; stage < stages.size(); ++stage) {
    const int32_t from = stages[stage - 1].device;
    const int32_t to = stages[stage].device;
    const LinkOpener opener = pipeline_->opener(stage);
    BrokenLink& broken = broken_links_[std::minmax(from, to)];
    if (opener == LinkOpener::kRelay) {
      if (clock_.NowNs() >= broken.direct.until_ns) broken.direct.Begin(clock_.NowNs());
      spdlog::info("{} gets its steps from {} by relay of the coordinator", nodes_.at(to).name,
                   nodes_.at(from).name);
      continue;
    }
    if (opener == LinkOpener::kReceiver) {
      spdlog::debug("{} opened the link from {}", nodes_.at(to).name, nodes_.at(from).name);
    }
    openers_[{from, to}] = opener;
    broken.direct.until_ns = broken.relayed.until_ns = 0;
  }
}

MeshPlanner::KnownLinks Mesh::LinksNow() const {
  MeshPlanner::KnownLinks links(openers_.begin(), openers_.end());
  const int64_t now_ns = clock_.NowNs();
  for (const auto& [pair, link] : broken_links_) {
    const auto [one, other] = pair;
    if (now_ns >= link.direct.until_ns) continue;
    if (!members_.knows(one) || !members_.knows(other)) continue;
    const bool relays = CanRelay({one, other}) && now_ns >= link.relayed.until_ns;
    links[{one, other}] = links[{other, one}] =
        relays ? std::optional(LinkOpener::kRelay) : std::nullopt;
  }
  return links;
}

void Mesh::TellPlannerOfLinks() {
  MeshPlanner::KnownLinks links = LinksNow();
  if (planner_.links() != links) declined_.reset();
  planner_.SetLinks(std::move(links));
}

// Where the others do not suffice, a node that is to go computes for those who wait for an answer
// as long as it can.
bool Mesh::MayStay(const PipelineLoss& loss) {
  if (!loss.leaves) return false;
  {
    const std::lock_guard lock(mutex_);
    broken_ = false;  // what comes next is news again
  }
  if (!stays_) stays_ = !CanDoWithout(serving_[static_cast<size_t>(loss.node)]);
  const EngineStatus status = engine_.status();
  return *stays_ && status.running + status.queued > 0;
}

bool Mesh::CanDoWithout(int32_t leaving) const {
  std::vector<PlannedNode> rest = seen_;
  std::erase_if(rest, [&](const PlannedNode& node) { return HasPart(node.member); });
  rest = WithThoseServing(std::move(rest));
  std::erase_if(rest, [&](const PlannedNode& node) { return node.member == leaving; });
  return !rest.empty() && planner_.MakePlan(rest, false).ok();
}

void Mesh::TakeDown(const PipelineLoss& loss, PlanEvent::Kind event) {
  NoteBroken(loss);
  DropAhead();
  const Epoch epoch = lifecycle_.epoch();
  const Result<PlanAction> action = lifecycle_.Apply(epoch, {event});
  CHECK(action.ok(), action.error().message);
  pipeline_->Cancel();  // the engine may be waiting for a stage that reads no more
  if (*action == PlanAction::kDetach) engine_.OnLost(epoch, loss.error);
  pipeline_.reset();
  const int32_t cause = loss.node < 0 ? -1 : serving_[static_cast<size_t>(loss.node)];
  for (const Placement& stage : lifecycle_.stages()) {
    const int32_t member = stage.device;
    if (!members_.knows(member) || members_.state(member) == MemberState::kAbsent) continue;
    if (!members_.watched(member)) {
      if (member == cause) Tell(member, MemberEvent::kFailed);
    } else if (member != cause) {
      Tell(member, MemberEvent::kReleased);
    } else if (loss.leaves || loss.left) {
      Tell(member, MemberEvent::kLeaves);
      Tell(member, MemberEvent::kReleased);
    } else {
      Tell(member, MemberEvent::kLost);
    }
  }
  const Result<PlanAction> released = lifecycle_.Apply(epoch, {PlanEvent::Kind::kReleased});
  CHECK(released.ok(), released.error().message);
}

bool Mesh::HasPart(int32_t member) const {
  const std::vector<Placement>& stages = lifecycle_.stages();
  return std::any_of(stages.begin(), stages.end(),
                     [&](const Placement& stage) { return stage.device == member; });
}

std::vector<int32_t> Mesh::Outside() const {
  std::vector<int32_t> outside = members_.all();
  std::erase_if(outside, [this](int32_t member) { return HasPart(member); });
  return outside;
}

}  // namespace shoal
