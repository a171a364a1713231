#include "coordinator/service/measure_cluster.h"

#include <fmt/format.h>

#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "partitioner/relay.h"

namespace shoal {

namespace {

// What is left of a link's direction when its bandwidth could not be told.
constexpr double kUnknownBytesPerS = 1e9;

class ClusterMeasurement {
 public:
  ClusterMeasurement(const MeasureOptions& options, const Clock& clock,
                     const std::function<void(const std::string&)>& progress)
      : options_(options), clock_(clock), progress_(progress) {}

  Result<Cluster> Run() {
    RETURN_IF_ERROR(DescribeAll());
    RETURN_IF_ERROR(ProfileAll());
    RETURN_IF_ERROR(ProbeAll());
    if (options_.relays) RelayThroughCoordinator(cluster_);
    RETURN_IF_ERROR(CheckCluster(cluster_));
    return std::move(cluster_);
  }

 private:
  Status DescribeAll();
  Status ProfileAll();
  Status ProfileHost(const std::vector<size_t>& nodes);
  Status ProbeAll();
  Status ProbeCoordinator(size_t node);
  void ProbePair(size_t a, size_t b);
  bool ProbeFrom(size_t from, size_t to);
  void Show(const std::string& line) {
    const std::lock_guard lock(mutex_);
    progress_(line);
  }
  ProbeTarget TargetOf(size_t node) const {
    return {links_[node]->label(), options_.nodes[node].address, options_.nodes[node].trust,
            described_[node].instance};
  }
  LinkProfile& LinkOf(size_t from, size_t to) {
    return cluster_.link(static_cast<int32_t>(from), static_cast<int32_t>(to));
  }

  const MeasureOptions& options_;
  const Clock& clock_;
  const std::function<void(const std::string&)>& progress_;
  std::mutex mutex_;  // guards progress_
  std::vector<std::unique_ptr<NodeLink>> links_;
  std::vector<NodeDescription> described_;
  Cluster cluster_;  // each element is written by one thread
};

LinkProfile ProfileOf(const LinkMeasurement& link, double bytes_per_s) {
  return {true, link.round_trip_s / 2, link.round_trip_p95_s / 2,
          bytes_per_s > 0 ? bytes_per_s : kUnknownBytesPerS};
}

Status ClusterMeasurement::DescribeAll() {
  std::set<std::string> names;
  for (const MeshNode& node : options_.nodes) {
    if (names.insert(node.name).second) continue;
    return InvalidArgument(node.name + ": two devices have this name");
  }
  for (const MeshNode& node : options_.nodes) {
    links_.push_back(std::make_unique<NodeLink>(node, clock_));
    ASSIGN_OR_RETURN(NodeDescription description, links_.back()->Describe(NodeLink::Patience{}));
    described_.push_back(std::move(description));
  }
  cluster_ = UniformCluster(std::vector<DeviceProfile>(links_.size()), {.usable = false});
  return OkStatus();
}

// First of all errors, if there is one; all are waited for.
Status WaitAll(std::vector<std::future<Status>>& parts) {
  Status first;
  for (std::future<Status>& part : parts) {
    Status status = part.get();
    if (first.ok()) first = std::move(status);
  }
  return first;
}

Status ClusterMeasurement::ProfileAll() {
  std::map<std::string, std::vector<size_t>> hosts;
  for (size_t i = 0; i < described_.size(); ++i) hosts[described_[i].host_id].push_back(i);
  std::vector<std::future<Status>> parts;
  for (const auto& [host, nodes] : hosts) {
    parts.push_back(
        std::async(std::launch::async, [this, &nodes = nodes] { return ProfileHost(nodes); }));
  }
  return WaitAll(parts);
}

Status ClusterMeasurement::ProfileHost(const std::vector<size_t>& nodes) {
  for (const size_t i : nodes) {
    ASSIGN_OR_RETURN(
        DeviceProfile device,
        links_[i]->Profile(options_.target, options_.refresh, [&](int32_t done, int32_t total) {
          Show(fmt::format("measuring {}: {} of {}", links_[i]->node().name, done, total));
        }));
    if (!described_[i].memory_limited) device.memory_bytes /= static_cast<int64_t>(nodes.size());
    cluster_.devices[i] = std::move(device);
  }
  return OkStatus();
}

// Rounds of a tournament: in each, every endpoint meets another one or rests.
Status ClusterMeasurement::ProbeAll() {
  for (size_t i = 0; i < links_.size(); ++i) {
    Show(fmt::format("probing the link to {}", links_[i]->node().name));
    RETURN_IF_ERROR(ProbeCoordinator(i));
  }
  const size_t players = links_.size() + links_.size() % 2;
  for (size_t round = 0; round + 1 < players; ++round) {
    Show(fmt::format("probing links between nodes: {} of {}", round + 1, players - 1));
    std::vector<std::future<void>> pairs;
    for (size_t k = 0; k < players / 2; ++k) {
      const size_t turning = players - 1;  // all players but the first turn around
      const size_t a = k == 0 ? 0 : 1 + (round + k - 1) % turning;
      const size_t b = 1 + (round + players - 2 - k) % turning;
      if (a >= links_.size() || b >= links_.size()) continue;
      pairs.push_back(std::async(std::launch::async, [this, a, b] { ProbePair(a, b); }));
    }
    for (std::future<void>& pair : pairs) pair.get();
  }
  return OkStatus();
}

Status ClusterMeasurement::ProbeCoordinator(size_t node) {
  ASSIGN_OR_RETURN(const LinkMeasurement link, ProbeLink(TargetOf(node), clock_));
  const size_t coordinator = links_.size();
  LinkOf(coordinator, node) = ProfileOf(link, link.send_bytes_per_s);
  LinkOf(node, coordinator) = ProfileOf(link, link.receive_bytes_per_s);
  return OkStatus();
}

// The end that can dial measures both directions; a hub is no way where there is another.
void ClusterMeasurement::ProbePair(size_t a, size_t b) {
  if (described_[b].dials_out && !described_[a].dials_out) std::swap(a, b);
  if (!ProbeFrom(a, b)) ProbeFrom(b, a);
}

// Whether `from` can dial `to`.
bool ClusterMeasurement::ProbeFrom(size_t from, size_t to) {
  ProbeTarget target = TargetOf(to);
  target.address = options_.nodes[to].address_for_peers();
  const Result<LinkMeasurement> link = links_[from]->ProbeLinkTo(target);
  if (!link.ok()) {
    Show(fmt::format("{} cannot dial {}: {}", links_[from]->label(), links_[to]->label(),
                     link.error().message));
    return false;
  }
  LinkOf(from, to) = ProfileOf(*link, link->send_bytes_per_s);
  LinkOf(to, from) = ProfileOf(*link, link->receive_bytes_per_s);
  LinkOf(to, from).opener = LinkOpener::kReceiver;
  return true;
}

}  // namespace

Result<Cluster> MeasureCluster(const MeasureOptions& options, const Clock& clock,
                               const std::function<void(const std::string&)>& progress) {
  return ClusterMeasurement(options, clock, progress).Run();
}

}  // namespace shoal
