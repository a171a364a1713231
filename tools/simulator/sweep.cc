#include "tools/simulator/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/thread_pool.h"
#include "tools/simulator/option_parse.h"
#include "tools/simulator/random.h"
#include "tools/simulator/simulation.h"
#include "tools/simulator/survivors.h"

namespace shoal {

namespace {

constexpr size_t kMaxAxisValues = 10'000;
constexpr std::string_view kSpeedPrefix = "speed.";  // of one device

struct Parameter {
  std::string_view name;
  std::string_view help;
  Status (*set)(SimulationOptions& options, double value);
};

Result<int32_t> Whole(double value) {
  if (value == std::floor(value) && std::abs(value) <= 1e9) return static_cast<int32_t>(value);
  return InvalidArgument(fmt::format("{} is not a whole number", value));
}

Status SetLinks(SimulationOptions& options, const std::function<void(LinkProfile&)>& set) {
  for (LinkProfile& link : options.problem.cluster.links) {
    if (link.usable) set(link);
  }
  return OkStatus();
}

void Speed(DeviceProfile& device, double factor) {
  for (TypeSpeed& speed : device.speeds) {
    for (BatchSpeed& batch : speed.batches) batch.bytes_per_s *= factor;
  }
  device.attention_decode_macs_per_s *= factor;
  device.attention_prefill_macs_per_s *= factor;
  device.elementwise_values_per_s *= factor;
  for (double* seconds : {&device.matrix_s, &device.layer_s, &device.step_s}) *seconds /= factor;
  for (double& seconds : device.given_layer_s) seconds /= factor;
}

Status SetSpeed(SimulationOptions& options, double factor, int32_t device) {
  if (!(factor > 0)) return InvalidArgument(fmt::format("{} is not above 0", factor));
  for (int32_t i = 0; i < options.problem.cluster.device_count(); ++i) {
    if (device >= 0 && device != i) continue;
    Speed(options.problem.cluster.devices[static_cast<size_t>(i)], factor);
  }
  return OkStatus();
}

// The cluster's first devices. What names others (stragglers, churn) falls away with them.
Status SetDevices(SimulationOptions& options, double value) {
  ASSIGN_OR_RETURN(const int32_t count, Whole(value));
  if (count < 1 || count > options.problem.cluster.device_count()) {
    return InvalidArgument(fmt::format("{} devices: the cluster has {}", count,
                                       options.problem.cluster.device_count()));
  }
  std::vector<int32_t> kept(static_cast<size_t>(count));
  std::iota(kept.begin(), kept.end(), 0);
  ASSIGN_OR_RETURN(options.problem, ProblemOf(options.problem, kept));
  std::erase_if(options.stragglers, [count](const Straggler& s) { return s.device >= count; });
  std::erase_if(options.churn.events, [count](const ChurnEvent& e) { return e.device >= count; });
  return OkStatus();
}

Status SetClients(SimulationOptions& options, double value) {
  ASSIGN_OR_RETURN(options.arrivals.clients, Whole(value));
  options.arrivals.kind = Arrivals::Kind::kClosed;
  return OkStatus();
}

Status SetTokens(TokenDistribution& tokens, int32_t& planned, double value) {
  ASSIGN_OR_RETURN(planned, Whole(value));
  tokens = {TokenDistribution::Kind::kFixed, value, 0};
  return OkStatus();
}

const std::vector<Parameter>& Parameters() {
  static const std::vector<Parameter> parameters = {
      {"link.bandwidth", "bytes per second of every link",
       [](SimulationOptions& options, double value) {
         return SetLinks(options, [value](LinkProfile& link) { link.bytes_per_s = value; });
       }},
      {"link.latency", "seconds, one way, of every link",
       [](SimulationOptions& options, double value) {
         return SetLinks(options, [value](LinkProfile& link) { link.latency_s = value; });
       }},
      {"devices", "the first so many of the cluster", SetDevices},
      {"speed", "factor on the speed of every device (speed.NAME: of one)",
       [](SimulationOptions& options, double value) { return SetSpeed(options, value, -1); }},
      {"sessions", "that run at once; each has its share of the KV memory",
       [](SimulationOptions& options, double value) -> Status {
         Workload& workload = options.problem.workload;
         const int64_t each = workload.kv_tokens / std::max(1, workload.sessions);
         ASSIGN_OR_RETURN(workload.sessions, Whole(value));
         workload.kv_tokens = each * workload.sessions;
         return OkStatus();
       }},
      {"arrivals.rate", "requests per second (poisson)",
       [](SimulationOptions& options, double value) {
         options.arrivals.kind = Arrivals::Kind::kPoisson;
         options.arrivals.rate_per_s = value;
         return OkStatus();
       }},
      {"arrivals.clients", "closed clients", SetClients},
      {"prompt-tokens", "of every request",
       [](SimulationOptions& options, double value) {
         return SetTokens(options.prompt_tokens, options.problem.workload.prompt_tokens, value);
       }},
      {"output-tokens", "of every request",
       [](SimulationOptions& options, double value) {
         return SetTokens(options.output_tokens, options.problem.workload.output_tokens, value);
       }},
      {"churn.mtbf", "seconds to a device's failure, on average",
       [](SimulationOptions& options, double value) {
         options.churn.mtbf_s = value;
         return OkStatus();
       }},
  };
  return parameters;
}

Result<SimulationReport> RunPoint(SimulationOptions options, const std::vector<SweepAxis>& axes,
                                  const SweepRun& run, const Strategy& strategy) {
  options.seed = run.seed;
  for (size_t i = 0; i < axes.size(); ++i) {
    RETURN_IF_ERROR(SetParameter(options, axes[i].parameter, run.values[i]));
  }
  return Simulate(options, strategy);
}

uint64_t SeedOf(uint64_t seed, const std::vector<SweepAxis>& axes,
                const std::vector<double>& values) {
  for (size_t i = 0; i < axes.size(); ++i) {
    seed = DeriveSeed(DeriveSeed(seed, axes[i].parameter), std::bit_cast<uint64_t>(values[i]));
  }
  return seed;
}

std::string ParameterNames() {
  std::string names;
  for (const Parameter& parameter : Parameters()) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", parameter.name);
  }
  return names;
}

// From one end to the other, both included.
std::vector<double> Spread(double from, double to, int32_t count, bool logarithmic) {
  std::vector<double> values;
  for (int32_t i = 0; i < count; ++i) {
    const double share = count == 1 ? 0 : static_cast<double>(i) / (count - 1);
    values.push_back(logarithmic ? std::pow(from, 1 - share) * std::pow(to, share)
                                 : from * (1 - share) + to * share);
  }
  if (count > 1) values.back() = to;
  return values;
}

Result<std::vector<double>> ParseRange(const std::string& option, std::string_view text) {
  const std::vector<std::string_view> parts = SplitText(text, ':');
  const size_t dots = parts[0].find("..");
  ASSIGN_OR_RETURN(const double from, ParseNumber(option, parts[0].substr(0, dots)));
  ASSIGN_OR_RETURN(const double to, ParseNumber(option, parts[0].substr(dots + 2)));
  if (to < from) {
    return InvalidArgument(fmt::format("{}: the range {} to {} is reversed", option, from, to));
  }
  if (parts.size() == 1) {
    if (from != std::floor(from) || to != std::floor(to) || to - from >= kMaxAxisValues) {
      return InvalidArgument(fmt::format(
          "{}: {} to {}: expected whole numbers, at most {} of them, or :lin:COUNT or :log:COUNT",
          option, from, to, kMaxAxisValues));
    }
    return Spread(from, to, static_cast<int32_t>(to - from) + 1, false);
  }
  const bool logarithmic = parts[1] == "log";
  if (parts.size() != 3 || (!logarithmic && parts[1] != "lin")) {
    return InvalidArgument(
        fmt::format("{} is '{}': expected A..B:lin:COUNT or A..B:log:COUNT", option, text));
  }
  if (logarithmic && from <= 0) {
    return InvalidArgument(fmt::format("{}: a logarithmic range begins at {}", option, from));
  }
  ASSIGN_OR_RETURN(const int32_t count, ParseCount(option, parts[2]));
  if (count < 1 || count > static_cast<int32_t>(kMaxAxisValues)) {
    return InvalidArgument(
        fmt::format("{}: {} values: expected 1 to {}", option, count, kMaxAxisValues));
  }
  return Spread(from, to, count, logarithmic);
}

}  // namespace

std::vector<std::string> SweepParameters() {
  std::vector<std::string> lines;
  for (const Parameter& parameter : Parameters()) {
    lines.push_back(fmt::format("{} ({})", parameter.name, parameter.help));
  }
  return lines;
}

Status SetParameter(SimulationOptions& options, const std::string& name, double value) {
  Status set;
  if (name.starts_with(kSpeedPrefix)) {
    ASSIGN_OR_RETURN(const int32_t device, FindDevice("sweep", name.substr(kSpeedPrefix.size()),
                                                      options.problem.cluster));
    set = SetSpeed(options, value, device);
  } else {
    const auto& all = Parameters();
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const Parameter& known) { return known.name == name; });
    if (found == all.end()) {
      return InvalidArgument(
          fmt::format("sweep: there is no parameter '{}': there are {}", name, ParameterNames()));
    }
    set = found->set(options, value);
  }
  return set.ok() ? set : set.error().WithContext(name);
}

Result<SweepAxis> ParseSweep(std::string_view text, const Cluster& cluster) {
  const size_t equals = text.find('=');
  if (equals == text.npos) {
    return InvalidArgument(fmt::format("sweep is '{}': expected PARAMETER=VALUES", text));
  }
  SweepAxis axis;
  axis.parameter = text.substr(0, equals);
  const std::string option = "sweep of " + axis.parameter;
  const std::string_view values = text.substr(equals + 1);
  if (values.find("..") != values.npos) {
    ASSIGN_OR_RETURN(axis.values, ParseRange(option, values));
  } else {
    for (const std::string_view value : SplitText(values, ',')) {
      ASSIGN_OR_RETURN(axis.values.emplace_back(), ParseNumber(option, value));
    }
  }
  SimulationOptions probe;
  probe.problem.cluster = cluster;
  RETURN_IF_ERROR(SetParameter(probe, axis.parameter, axis.values.front()));
  return axis;
}

Result<std::vector<SweepRun>> RunSweep(const SimulationOptions& options,
                                       const std::vector<SweepAxis>& axes,
                                       const std::vector<const Strategy*>& strategies, int threads,
                                       const std::function<void()>& progress) {
  size_t points = 1;
  for (const SweepAxis& axis : axes) {
    points *= axis.values.size();
    if (points * strategies.size() <= kMaxSweepRuns) continue;
    return InvalidArgument(fmt::format("sweep: more than {} runs", kMaxSweepRuns));
  }
  std::vector<SweepRun> runs;
  for (size_t point = 0; point < points; ++point) {
    std::vector<double> values(axes.size());
    for (size_t i = axes.size(), rest = point; i > 0; --i) {
      values[i - 1] = axes[i - 1].values[rest % axes[i - 1].values.size()];
      rest /= axes[i - 1].values.size();
    }
    for (const Strategy* strategy : strategies) {
      runs.push_back({values, std::string(strategy->name()), SeedOf(options.seed, axes, values),
                      InternalError("not run")});
    }
  }
  ThreadPool pool(threads);
  pool.ParallelFor(static_cast<int64_t>(runs.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto index = static_cast<size_t>(i);
      SimulationOptions chosen = options;
      if (index >= strategies.size()) chosen.timeline_spans = 0;
      runs[index].report =
          RunPoint(std::move(chosen), axes, runs[index], *strategies[index % strategies.size()]);
      progress();
    }
  });
  return runs;
}

}  // namespace shoal
