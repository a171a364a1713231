#include "tools/simulator/virtual_pipeline.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "partitioner/cost_model.h"

namespace shoal {

namespace {

constexpr double kNormal95 = 1.6448536269514722;  // 95th percentile of the normal distribution

}  // namespace

Disturbances::Disturbances(const SimulationOptions& options)
    : options_(options), random_(DeriveSeed(options.seed, "jitter")) {}

double Disturbances::ComputeFactor(int32_t device, double now_s) {
  double factor = random_.LognormalFactor(options_.jitter.compute_sigma);
  for (const Straggler& straggler : options_.stragglers) {
    if (straggler.device != device) continue;
    if (now_s >= straggler.from_s && now_s < straggler.to_s) factor *= straggler.factor;
  }
  return factor;
}

double Disturbances::LatencyFactor(const LinkProfile& link) {
  double sigma = options_.jitter.latency_sigma;
  if (options_.jitter.latency_measured && link.latency_s > 0 &&
      link.latency_p95_s > link.latency_s) {
    sigma = std::log(link.latency_p95_s / link.latency_s) / kNormal95;
  }
  return random_.LognormalFactor(sigma);
}

VirtualPipeline::VirtualPipeline(const PlanProblem& problem, const Plan& plan,
                                 Disturbances& disturbances, Usage& usage)
    : disturbances_(disturbances), usage_(usage) {
  const int32_t coordinator = problem.cluster.coordinator();
  in_ = MakeLink(problem, coordinator, plan.stages.front().device);
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    const auto& [device, layers] = std::tie(plan.stages[i].device, plan.stages[i].layers);
    const bool last = i + 1 == plan.stages.size();
    Link out = MakeLink(problem, device, last ? coordinator : plan.stages[i + 1].device);
    if (!last) {
      const auto boundary = static_cast<size_t>(layers.end) - 1;
      const auto bytes = static_cast<double>(problem.model.layers[boundary].activation_bytes);
      out.fixed_s = 0;
      out.token_s = bytes / out.profile.bytes_per_s;
    }
    stages_.push_back({ServerOf(device), StageCost(problem, device, layers), out});
  }
}

VirtualPipeline::Link VirtualPipeline::MakeLink(const PlanProblem& problem, int32_t from,
                                                int32_t to) {
  Link link;
  link.profile = problem.cluster.link(from, to);
  link.resource = usage_.LinkResource(from, to);
  link.fixed_s = kControlBytes / link.profile.bytes_per_s;
  return link;
}

size_t VirtualPipeline::ServerOf(int32_t device) {
  const auto found = std::find_if(servers_.begin(), servers_.end(), [device](const Server& server) {
    return server.device == device;
  });
  const auto index = static_cast<size_t>(found - servers_.begin());
  if (found == servers_.end()) servers_.push_back({.device = device});
  return index;
}

void VirtualPipeline::Lose(int32_t device, double now_s) {
  for (Server& server : servers_) {
    if (server.device == device) server.lost_s = std::min(server.lost_s, now_s);
  }
}

double VirtualPipeline::Submit(uint64_t step, double now_s) {
  return Send(in_, step, 0, false, now_s).arrival_s;
}

VirtualPipeline::Passage VirtualPipeline::Pass(int32_t stage, uint64_t step, const StepLoad& load,
                                               double now_s) {
  Stage& here = stages_[static_cast<size_t>(stage)];
  Server& server = servers_[here.server];
  const double begin_s = std::max(now_s, server.free_s);
  server.free_s =
      begin_s + here.cost.Seconds(load) * disturbances_.ComputeFactor(server.device, begin_s);
  const bool prefill = load.tokens > load.samples;
  usage_.Add(server.device, begin_s, server.free_s, step, prefill);
  return Send(here.out, step, load.tokens, prefill, server.free_s);
}

VirtualPipeline::Passage VirtualPipeline::Send(Link& link, uint64_t step, int32_t tokens,
                                               bool prefill, double now_s) {
  const double begin_s = std::max(now_s, link.free_s);
  link.free_s = begin_s + link.fixed_s + link.token_s * tokens;
  const double latency_s = link.profile.latency_s * disturbances_.LatencyFactor(link.profile);
  link.delivered_s = std::max(link.delivered_s, link.free_s + latency_s);
  usage_.Add(link.resource, begin_s, link.free_s, step, prefill);
  return {link.free_s, link.delivered_s};
}

}  // namespace shoal
