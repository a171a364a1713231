// The layer assignment of prima.cpp: Z. Li et al., "PRIMA.CPP: Speeding Up 70B-Scale LLM Inference
// on Low-Resource Everyday Home Clusters", 2025 (arXiv:2504.08791), algorithm Halda. It minimizes
// the seconds of a token over the numbers w(m) of layers that the devices of a ring hold,
//   sum over m of a(m) * w(m) + c(m),   1 <= w(m) <= what memory holds,  sum of w(m) = layers,
// a(m) being a device's seconds for a layer and c(m) its fixed cost. Without disk this is linear:
// every device gets one layer, then the fastest are filled. Devices that keep a single layer are
// dropped one by one as long as that makes a token faster.
//
// Departs from the paper: models that exceed memory and are read from disk, several rounds through
// the ring, and the split between CPU and GPU are left out; our devices hold all their layers. In
// the paper c(m) has the link to the next device; prima.cpp's code leaves links out. Both are here.
// The ring has the order of the cluster.
#include <algorithm>
#include <limits>
#include <numeric>

#include "partitioner/cost_model.h"
#include "partitioner/strategies/chain.h"
#include "partitioner/strategy.h"

namespace shoal {

namespace {

// Everyone's least, then the fastest are filled.
std::vector<int32_t> Fill(const PlanProblem& problem, const Chain& chain) {
  const std::vector<int32_t> rooms = LayerCapacities(problem, chain);
  std::vector<int32_t> counts(rooms.size(), 1);
  std::vector<size_t> by_speed(rooms.size());
  std::iota(by_speed.begin(), by_speed.end(), size_t{0});
  std::vector<double> speeds;
  for (const int32_t device : chain.devices) speeds.push_back(DecodeSpeed(problem, device));
  std::stable_sort(by_speed.begin(), by_speed.end(),
                   [&](size_t a, size_t b) { return speeds[a] > speeds[b]; });
  int32_t left = problem.model.layer_count() - static_cast<int32_t>(counts.size());
  for (const size_t i : by_speed) {
    const int32_t more = std::clamp(rooms[i] - 1, 0, std::max(left, 0));
    counts[i] += more;
    left -= more;
  }
  return counts;
}

// Seconds of a token as Halda sees it; endless if the counts hold too few or too many layers.
double TokenSeconds(const PlanProblem& problem, const StepCosts& costs, const Chain& chain,
                    const std::vector<int32_t>& counts, bool links) {
  double seconds = 0;
  int32_t begin = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const int32_t end = begin + counts[i];
    if (end > problem.model.layer_count()) return std::numeric_limits<double>::infinity();
    seconds += costs.stage_s(chain.devices[i], {begin, end});
    if (links && i > 0) seconds += costs.hop_s(chain.devices[i - 1], chain.devices[i], begin);
    begin = end;
  }
  if (begin != problem.model.layer_count()) return std::numeric_limits<double>::infinity();
  if (links) {
    const int32_t coordinator = problem.cluster.coordinator();
    seconds += costs.control_hop_s(coordinator, chain.devices.front()) +
               costs.control_hop_s(chain.devices.back(), coordinator);
  }
  return seconds;
}

class Halda final : public Strategy {
 public:
  explicit Halda(bool links) : links_(links) {}
  std::string_view name() const override { return links_ ? "halda" : "halda-no-links"; }
  std::string_view description() const override {
    return links_ ? "the fastest devices are filled first, weak ones dropped (prima.cpp 2025)"
                  : "halda as prima.cpp's code has it: links cost nothing";
  }

  Result<Plan> Place(const PlanProblem& problem) const override {
    RETURN_IF_ERROR(CheckProblem(problem));
    const StepCosts costs(problem, DecodeStep(problem.workload));
    std::vector<int32_t> ring = UsableDevices(problem);
    Shorten(problem, ring);
    Chain chain = ChainOf(problem, ring);
    std::vector<int32_t> counts = Fill(problem, chain);
    double best = TokenSeconds(problem, costs, chain, counts, links_);
    for (bool dropped = true; dropped;) {
      dropped = false;
      for (size_t i = 0; i < ring.size() && !dropped; ++i) {
        if (!MayDrop(problem, chain, counts, ring[i])) continue;
        std::vector<int32_t> without = ring;
        without.erase(without.begin() + static_cast<std::ptrdiff_t>(i));
        const Chain shorter = ChainOf(problem, without);
        if (shorter.devices.empty()) continue;
        const std::vector<int32_t> filled = Fill(problem, shorter);
        const double seconds = TokenSeconds(problem, costs, shorter, filled, links_);
        if (!(seconds < best)) continue;
        dropped = true;
        best = seconds;
        ring = without;
        chain = shorter;
        counts = filled;
      }
    }
    return PlaceCounts(problem, chain, counts, name());
  }

 private:
  // A ring of more devices than layers loses the slowest.
  static void Shorten(const PlanProblem& problem, std::vector<int32_t>& ring) {
    const auto excess = [&] {
      return static_cast<int32_t>(ChainOf(problem, ring).devices.size()) >
             problem.model.layer_count();
    };
    while (!ring.empty() && excess()) {
      ring.erase(std::min_element(ring.begin(), ring.end(), [&](int32_t a, int32_t b) {
        return DecodeSpeed(problem, a) < DecodeSpeed(problem, b);
      }));
    }
  }

  static bool MayDrop(const PlanProblem& problem, const Chain& chain,
                      const std::vector<int32_t>& counts, int32_t device) {
    const auto at = std::find(chain.devices.begin(), chain.devices.end(), device);
    const auto position = static_cast<size_t>(at - chain.devices.begin());
    return counts[position] == 1 && LeastLayers(problem, chain)[position] == 0;
  }

  bool links_;
};

}  // namespace

std::unique_ptr<Strategy> MakeHalda() { return std::make_unique<Halda>(true); }
std::unique_ptr<Strategy> MakeHaldaWithoutLinks() { return std::make_unique<Halda>(false); }

}  // namespace shoal
