#include "tools/simulator/report_rows.h"

#include <fmt/format.h>

namespace shoal {

namespace {

using Json = nlohmann::ordered_json;

void AddDistribution(Json& row, const std::string& name, const Distribution& values) {
  const auto set = [&](const char* what, double value) {
    row[fmt::format("{}_{}_s", name, what)] = values.count > 0 ? Json(value) : Json();
  };
  set("mean", values.mean);
  set("p50", values.percentile[50]);
  set("p95", values.percentile[95]);
  set("p99", values.percentile[99]);
}

double MostUsed(const auto& uses) {
  double most = 0;
  for (const auto& use : uses) most = std::max(most, use.utilization);
  return most;
}

double MeanUsed(const std::vector<DeviceUse>& devices) {
  double sum = 0;
  int count = 0;
  for (const DeviceUse& device : devices) {
    if (!device.used) continue;
    sum += device.utilization;
    ++count;
  }
  return count == 0 ? 0 : sum / count;
}

// The share of a device's memory that a plan needed at most.
double MostMemory(const std::vector<DeviceUse>& devices) {
  double most = 0;
  for (const DeviceUse& device : devices) {
    if (!device.used || device.memory_bytes == 0) continue;
    most = std::max(
        most, static_cast<double>(device.planned_bytes) / static_cast<double>(device.memory_bytes));
  }
  return most;
}

Json OrNull(double value) { return value > 0 ? Json(value) : Json(); }

void AddResults(Json& row, const SimulationReport& report) {
  row["stages"] = report.plan.stages.size();
  row["predicted_tpot_s"] = report.plan.prediction.decode_s;
  row["predicted_ttft_s"] = report.plan.prediction.first_token_s;
  row["predicted_tokens_per_s"] = report.plan.prediction.tokens_per_s;
  row["arrived"] = report.arrived;
  row["done"] = report.done;
  row["failed"] = report.failed;
  row["rejected"] = report.rejected;
  AddDistribution(row, "ttft", report.ttft_s);
  AddDistribution(row, "tpot", report.tpot_s);
  AddDistribution(row, "queueing", report.queueing_s);
  AddDistribution(row, "latency", report.latency_s);
  row["measured_s"] = report.measured_s;
  row["output_tokens"] = report.output_tokens;
  row["tokens_per_s"] = report.tokens_per_s;
  row["joules_per_token"] = OrNull(report.joules_per_token);
  row["device_utilization_mean"] = MeanUsed(report.devices);
  row["device_utilization_most"] = MostUsed(report.devices);
  row["link_utilization_most"] = MostUsed(report.links);
  row["memory_share_most"] = MostMemory(report.devices);
  row["device_failures"] = report.failures;
  row["device_failures_survived"] = report.failures_survived;
  row["replans"] = report.replans;
  row["replayed_sessions"] = report.replayed_sessions;
  row["downtime_s"] = report.downtime_s;
  row["simulated_s"] = report.simulated_s;
  row["steps"] = report.steps;
}

// Commas, quotes and line ends inside a value need quotes around it (RFC 4180).
std::string CsvField(const Json& value) {
  if (value.is_null()) return "";
  if (!value.is_string()) return value.dump();
  const auto text = value.get<std::string>();
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string quoted(1, '"');
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  quoted.push_back('"');
  return quoted;
}

}  // namespace

Json RunRow(const SweepReport& report, const SweepRun& run) {
  Json row;
  for (const auto& [column, value] : report.parameters) row[column] = value;
  row["strategy"] = run.strategy;
  row["seed"] = run.seed;
  for (size_t i = 0; i < report.axes.size(); ++i) {
    row[fmt::format("sweep.{}", report.axes[i].parameter)] = run.values[i];
  }
  row["error"] = run.report.ok() ? Json() : Json(run.report.error().message);
  AddResults(row, run.report.ok() ? *run.report : SimulationReport{});
  if (run.report.ok()) return row;
  bool result = false;
  for (auto& [column, value] : row.items()) {
    if (result) value = nullptr;
    result = result || column == "error";
  }
  return row;
}

std::string SweepCsv(const SweepReport& report) {
  std::string text;
  for (const SweepRun& run : report.runs) {
    const Json row = RunRow(report, run);
    std::string names;
    std::string values;
    for (const auto& [column, value] : row.items()) {
      names += CsvField(column) + ',';
      values += CsvField(value) + ',';
    }
    names.back() = values.back() = '\n';
    if (text.empty()) text = names;
    text += values;
  }
  return text;
}

std::string SweepJson(const SweepReport& report) {
  Json rows = Json::array();
  for (const SweepRun& run : report.runs) {
    Json row = RunRow(report, run);
    row["devices"] = Json::array();
    row["links"] = Json::array();
    if (run.report.ok()) {
      for (const DeviceUse& device : run.report->devices) {
        if (!device.used) continue;
        row["devices"].push_back({{"name", device.name},
                                  {"layers", device.layers},
                                  {"utilization", device.utilization},
                                  {"planned_bytes", device.planned_bytes},
                                  {"peak_bytes", device.peak_bytes},
                                  {"memory_bytes", device.memory_bytes},
                                  {"joules", OrNull(device.joules)}});
      }
      for (const LinkUse& link : run.report->links) {
        row["links"].push_back(
            {{"from", link.from}, {"to", link.to}, {"utilization", link.utilization}});
      }
    }
    rows.push_back(std::move(row));
  }
  return rows.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace shoal
