#include "tools/simulator/report_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/units.h"

namespace shoal {

namespace {

std::string LatencyLine(const char* name, const Distribution& values) {
  if (values.count == 0) return fmt::format("  {:<9} (of no request)\n", name);
  return fmt::format("  {:<9} {:>9} {:>9} {:>9} {:>9}\n", name, SecondsText(values.mean),
                     SecondsText(values.percentile[50]), SecondsText(values.percentile[95]),
                     SecondsText(values.percentile[99]));
}

std::string RequestsText(const SimulationReport& report) {
  std::string text = fmt::format(
      "requests    {} arrived: {} done, {} failed, {} rejected\n"
      "throughput  {:.2f} tokens/s over {:.1f} s (predicted for full load {:.2f})\n",
      report.arrived, report.done, report.failed, report.rejected, report.tokens_per_s,
      report.measured_s, report.plan.prediction.tokens_per_s);
  if (report.joules_per_token > 0) {
    text += fmt::format("energy      {:.3g} J per token\n", report.joules_per_token);
  }
  if (report.failures > 0 || report.replans > 0) {
    text += fmt::format(
        "losses      {} of devices in use, {} survived; {} re-plans, {} sessions replayed, "
        "{:.1f} s without a pipeline\n",
        report.failures, report.failures_survived, report.replans, report.replayed_sessions,
        report.downtime_s);
  }
  text += fmt::format("latencies   {:>9} {:>9} {:>9} {:>9}\n", "mean", "p50", "p95", "p99");
  return text + LatencyLine("queueing", report.queueing_s) + LatencyLine("TTFT", report.ttft_s) +
         LatencyLine("TPOT", report.tpot_s) + LatencyLine("whole", report.latency_s);
}

std::string UseText(const SimulationReport& report) {
  std::string text = fmt::format("{:<20} {:<16} {:>5} {:>9} {:>9} {:>9}\n", "device", "layers",
                                 "busy", "peak MiB", "plan MiB", "has MiB");
  for (const DeviceUse& device : report.devices) {
    if (!device.used) continue;
    text += fmt::format("{:<20} {:<16} {:>4.1f}% {:>9.0f} {:>9.0f} {:>9.0f}\n", device.name,
                        device.layers, 100 * device.utilization, MiB(device.peak_bytes),
                        MiB(device.planned_bytes), MiB(device.memory_bytes));
  }
  for (const LinkUse& link : report.links) {
    text += fmt::format("{:<37} {:>4.1f}%\n", link.from + " -> " + link.to, 100 * link.utilization);
  }
  return text;
}

std::string OneRun(const SweepRun& run) {
  if (!run.report.ok()) return fmt::format("{}: {}\n", run.strategy, run.report.error().message);
  return fmt::format("strategy    {}, {} stages\n", run.strategy, run.report->plan.stages.size()) +
         RequestsText(*run.report) + UseText(*run.report);
}

std::string TableRow(const SweepRun& run) {
  std::string text;
  for (const double value : run.values) text += fmt::format("{:<16.6g} ", value);
  text += fmt::format("{:<22} ", run.strategy);
  if (!run.report.ok()) return text + run.report.error().message + "\n";
  const SimulationReport& report = *run.report;
  const auto time = [](const Distribution& values, size_t p) {
    return values.count > 0 ? SecondsText(values.percentile[p]) : std::string("-");
  };
  return text + fmt::format("{:>6} {:>9.2f} {:>9} {:>9} {:>9} {:>9} {:>7} {:>6} {:>6}\n",
                            report.plan.stages.size(), report.tokens_per_s, time(report.ttft_s, 50),
                            time(report.ttft_s, 95), time(report.tpot_s, 50),
                            time(report.tpot_s, 95), report.done, report.failed, report.rejected);
}

}  // namespace

std::string SecondsText(double seconds) {
  if (seconds == 0) return "0 s";
  const auto digits = [](double value, const char* unit) {
    return fmt::format("{:.{}f} {}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, unit);
  };
  if (seconds < 999.5e-6) return digits(seconds * 1e6, "us");
  if (seconds < 999.5e-3) return digits(seconds * 1e3, "ms");
  return digits(seconds, "s");
}

std::string SweepText(const SweepReport& report) {
  if (report.runs.size() == 1) return OneRun(report.runs.front());
  std::string text;
  for (const SweepAxis& axis : report.axes) text += fmt::format("{:<16} ", axis.parameter);
  text += fmt::format("{:<22} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>6} {:>6}\n", "strategy",
                      "stages", "tokens/s", "TTFT p50", "p95", "TPOT p50", "p95", "done", "failed",
                      "reject");
  for (const SweepRun& run : report.runs) text += TableRow(run);
  return text;
}

}  // namespace shoal
