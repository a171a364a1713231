#include "tools/simulator/options.h"

#include <fmt/format.h>

#include <cmath>

#include "model/step/step.h"

namespace shoal {

namespace {

constexpr double kMaxTokens = StepLimits::kMaxContextTokens;
constexpr double kMaxSigma = 3;  // a factor of 20 is then within one deviation
constexpr double kMaxRate = 1e6;
constexpr double kMaxFactor = 1e6;
constexpr double kLeastMtbf = 1;  // seconds

// Also refuses what is not a number.
Status CheckRange(const std::string& what, double value, double least, double most) {
  if (value >= least && value <= most) return OkStatus();
  return InvalidArgument(fmt::format("{} is {}: expected {} to {}", what, value, least, most));
}

Status CheckTokens(const std::string& what, const TokenDistribution& tokens) {
  RETURN_IF_ERROR(CheckRange(what, tokens.first, 1, kMaxTokens));
  switch (tokens.kind) {
    case TokenDistribution::Kind::kFixed: return OkStatus();
    case TokenDistribution::Kind::kUniform:
      return CheckRange(what + ": the most", tokens.second, tokens.first, kMaxTokens);
    case TokenDistribution::Kind::kLognormal:
      return CheckRange(what + ": sigma", tokens.second, 0, kMaxSigma);
  }
  return OkStatus();
}

Status CheckTrace(const std::vector<TraceRequest>& trace) {
  if (trace.empty()) return InvalidArgument("arrivals: the trace has no requests");
  RETURN_IF_ERROR(CheckRange("arrivals: requests of the trace", static_cast<double>(trace.size()),
                             1, static_cast<double>(kMaxRequests)));
  double before_s = 0;
  for (size_t i = 0; i < trace.size(); ++i) {
    const std::string where = fmt::format("arrivals: request {} of the trace: ", i + 1);
    RETURN_IF_ERROR(CheckRange(where + "arrival_s", trace[i].arrival_s, before_s, kMaxSeconds));
    RETURN_IF_ERROR(CheckRange(where + "prompt_tokens", trace[i].prompt_tokens, 1, kMaxTokens));
    RETURN_IF_ERROR(CheckRange(where + "output_tokens", trace[i].output_tokens, 1, kMaxTokens));
    before_s = trace[i].arrival_s;
  }
  return OkStatus();
}

Status CheckArrivals(const Arrivals& arrivals) {
  switch (arrivals.kind) {
    case Arrivals::Kind::kPoisson:
      return CheckRange("arrivals: the rate per second", arrivals.rate_per_s, 1e-9, kMaxRate);
    case Arrivals::Kind::kClosed: return CheckRange("arrivals: clients", arrivals.clients, 1, 1e6);
    case Arrivals::Kind::kTrace: return CheckTrace(arrivals.trace);
  }
  return OkStatus();
}

Status CheckDevice(const std::string& what, int32_t device, int32_t devices) {
  if (device >= 0 && device < devices) return OkStatus();
  return InvalidArgument(fmt::format("{}: there is no device {} of {}", what, device, devices));
}

Status CheckChurn(const Churn& churn, int32_t devices) {
  if (churn.mtbf_s != 0) {
    RETURN_IF_ERROR(
        CheckRange("churn: mean time to failure", churn.mtbf_s, kLeastMtbf, kMaxSeconds));
    RETURN_IF_ERROR(CheckRange("churn: mean time to repair", churn.mttr_s, 1e-3, kMaxSeconds));
  }
  double before_s = 0;
  for (const ChurnEvent& event : churn.events) {
    RETURN_IF_ERROR(CheckRange("churn: time of an event", event.time_s, before_s, kMaxSeconds));
    RETURN_IF_ERROR(CheckDevice("churn", event.device, devices));
    before_s = event.time_s;
  }
  return OkStatus();
}

Status CheckDisturbances(const SimulationOptions& options) {
  const int32_t devices = options.problem.cluster.device_count();
  RETURN_IF_ERROR(CheckChurn(options.churn, devices));
  RETURN_IF_ERROR(CheckRange("jitter: compute", options.jitter.compute_sigma, 0, kMaxSigma));
  RETURN_IF_ERROR(CheckRange("jitter: latency", options.jitter.latency_sigma, 0, kMaxSigma));
  for (const Straggler& straggler : options.stragglers) {
    RETURN_IF_ERROR(CheckDevice("straggler", straggler.device, devices));
    RETURN_IF_ERROR(CheckRange("straggler: factor", straggler.factor, 1 / kMaxFactor, kMaxFactor));
    RETURN_IF_ERROR(CheckRange("straggler: from", straggler.from_s, 0, kMaxSeconds));
    RETURN_IF_ERROR(CheckRange("straggler: to", straggler.to_s, straggler.from_s, 1e18));
  }
  const Recovery& recovery = options.recovery;
  RETURN_IF_ERROR(CheckRange("detection", recovery.detection_s, 0, kMaxSeconds));
  RETURN_IF_ERROR(CheckRange("replan", recovery.replan_s, 0, kMaxSeconds));
  return CheckRange("least gain", recovery.least_gain, 0, 1);
}

}  // namespace

double TokenDistribution::Mean() const {
  switch (kind) {
    case Kind::kFixed: return first;
    case Kind::kUniform: return (first + second) / 2;
    case Kind::kLognormal: return first * std::exp(second * second / 2);
  }
  return first;
}

Status CheckOptions(const SimulationOptions& options) {
  RETURN_IF_ERROR(CheckProblem(options.problem));
  RETURN_IF_ERROR(CheckRange("context", options.context_tokens, 1, kMaxTokens));
  RETURN_IF_ERROR(CheckRange("queue", options.max_queued, 1, 1e6));
  RETURN_IF_ERROR(CheckArrivals(options.arrivals));
  RETURN_IF_ERROR(CheckTokens("prompt-tokens", options.prompt_tokens));
  RETURN_IF_ERROR(CheckTokens("output-tokens", options.output_tokens));
  RETURN_IF_ERROR(CheckRange("requests", static_cast<double>(options.max_requests), 1,
                             static_cast<double>(kMaxRequests)));
  RETURN_IF_ERROR(CheckRange("duration", options.duration_s, 1e-6, kMaxSeconds));
  RETURN_IF_ERROR(CheckRange("warmup", options.warmup_s, 0, options.duration_s * 0.999));
  RETURN_IF_ERROR(CheckRange("drain", options.drain_s, 0, kMaxSeconds));
  RETURN_IF_ERROR(CheckRange("timeline", options.timeline_spans, 0, 1e6));
  return CheckDisturbances(options);
}

}  // namespace shoal
