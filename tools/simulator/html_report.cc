#include "tools/simulator/html_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "tools/simulator/report_text.h"
#include "tools/simulator/svg_plot.h"

namespace shoal {

namespace {

constexpr int kDecodeColour = 0;
constexpr int kPrefillColour = 1;

// Those of the first values that gave a report: one per strategy.
std::vector<const SweepRun*> FirstRuns(const SweepReport& report) {
  std::vector<const SweepRun*> runs;
  for (const SweepRun& run : report.runs) {
    if (run.values == report.runs.front().values && run.report.ok()) runs.push_back(&run);
  }
  return runs;
}

std::string Timeline(const SweepRun& run) {
  const SimulationReport& report = *run.report;
  std::vector<std::string> lanes;
  std::vector<PlotSpan> spans;
  std::map<int32_t, size_t> lane_of;  // by resource: devices first, then links
  for (const Span& span : report.spans) lane_of.emplace(span.resource, 0);
  for (auto& [resource, lane] : lane_of) {
    lane = lanes.size();
    const auto index = static_cast<size_t>(resource);
    if (index < report.devices.size()) {
      lanes.push_back(report.devices[index].name);
    } else {
      const LinkUse& link = report.links[index - report.devices.size()];
      lanes.push_back(link.from + " -> " + link.to);
    }
  }
  for (const Span& span : report.spans) {
    spans.push_back({lane_of.at(span.resource), span.begin_s, span.end_s,
                     span.prefill ? kPrefillColour : kDecodeColour});
  }
  return LanesPlot(run.strategy + ": busy with prompts (orange) and decoding (blue)", "seconds",
                   lanes, spans);
}

// Share of requests that took at most so long.
std::string LatencyPlot(const std::string& title, const std::vector<const SweepRun*>& runs,
                        const Distribution SimulationReport::*values) {
  std::vector<PlotSeries> series;
  for (const SweepRun* run : runs) {
    const Distribution& of = (*run->report).*values;
    PlotSeries one{run->strategy, {}};
    for (size_t p = 0; of.count > 0 && p <= 100; ++p) {
      one.points.emplace_back(of.percentile[p], static_cast<double>(p));
    }
    series.push_back(std::move(one));
  }
  return LinePlot(title, {"seconds", true}, {"percentile"}, series);
}

std::string StrategyPlots(const std::vector<const SweepRun*>& runs) {
  std::vector<PlotBar> throughput;
  std::vector<PlotBar> tpot;
  for (const SweepRun* run : runs) {
    const SimulationReport& report = *run->report;
    throughput.push_back(
        {run->strategy, report.tokens_per_s,
         fmt::format("{:.2f} ({} stages)", report.tokens_per_s, report.plan.stages.size())});
    const double median_s = report.tpot_s.percentile[50];
    tpot.push_back({run->strategy, median_s, SecondsText(median_s)});
  }
  return BarPlot("Throughput by strategy, tokens per second", throughput) +
         BarPlot("Median TPOT by strategy", tpot);
}

using Figure = double (*)(const SimulationReport&);

// One figure along one axis, the other axes at their first values.
std::string AxisPlot(const SweepReport& report, size_t axis, const std::string& label,
                     Figure figure) {
  std::vector<PlotSeries> series;
  const std::vector<double>& first = report.runs.front().values;
  for (const SweepRun& run : report.runs) {
    std::vector<double> others = run.values;
    others[axis] = first[axis];
    if (others != first || !run.report.ok()) continue;
    auto found = std::find_if(series.begin(), series.end(),
                              [&](const PlotSeries& one) { return one.name == run.strategy; });
    if (found == series.end()) found = series.insert(found, {run.strategy, {}});
    found->points.emplace_back(run.values[axis], figure(*run.report));
  }
  const std::vector<double>& values = report.axes[axis].values;
  constexpr double kWide = 30;  // as ranges given as :log: are
  const bool logarithmic = values.front() > 0 && values.back() / values.front() >= kWide;
  return LinePlot(fmt::format("{} against {}", label, report.axes[axis].parameter),
                  {report.axes[axis].parameter, logarithmic}, {label}, series);
}

std::string AxisPlots(const SweepReport& report) {
  std::string html;
  for (size_t axis = 0; axis < report.axes.size(); ++axis) {
    if (report.axes[axis].values.size() < 2) continue;
    html += AxisPlot(report, axis, "tokens per second",
                     [](const SimulationReport& run) { return run.tokens_per_s; });
    html += AxisPlot(report, axis, "median TTFT, s",
                     [](const SimulationReport& run) { return run.ttft_s.percentile[50]; });
    html += AxisPlot(report, axis, "median TPOT, s",
                     [](const SimulationReport& run) { return run.tpot_s.percentile[50]; });
  }
  return html;
}

std::string ValueText(const nlohmann::ordered_json& value) {
  if (value.is_null()) return "";
  if (value.is_number_float()) return fmt::format("{:.6g}", value.get<double>());
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// Parameters that all runs share stand above the table, not in it.
std::string Table(const SweepReport& report) {
  std::string html = "<table>\n";
  const size_t count = std::min(report.runs.size(), kMaxHtmlRows);
  for (size_t i = 0; i < count; ++i) {
    const nlohmann::ordered_json row = RunRow(report, report.runs[i]);
    std::string names;
    std::string values;
    size_t column = 0;
    for (const auto& [name, value] : row.items()) {
      if (column++ < report.parameters.size()) continue;
      names += "<th>" + EscapeMarkup(name) + "</th>";
      values += "<td>" + EscapeMarkup(ValueText(value)) + "</td>";
    }
    if (i == 0) html += "<tr>" + names + "</tr>\n";
    html += "<tr>" + values + "</tr>\n";
  }
  html += "</table>\n";
  if (count < report.runs.size()) {
    html += fmt::format("<p>{} of {} runs are shown.</p>\n", count, report.runs.size());
  }
  return html;
}

}  // namespace

std::string SweepHtml(const SweepReport& report) {
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<title>Shoal simulation</title>\n<style>body{font-family:sans-serif;margin:20px}"
      "table{border-collapse:collapse;font-size:12px}td,th{border:1px solid #ccc;padding:2px 6px}"
      "svg{display:block;margin:12px 0}</style></head><body>\n<h1>Shoal simulation</h1>\n<p>";
  for (const auto& [name, value] : report.parameters) {
    html += EscapeMarkup(name) + " <b>" + EscapeMarkup(value) + "</b>; ";
  }
  html += "</p>\n";
  const std::vector<const SweepRun*> first = FirstRuns(report);
  html += "<h2>Strategies</h2>\n" + StrategyPlots(first);
  html += "<h2>Latencies</h2>\n" +
          LatencyPlot("Time to first token", first, &SimulationReport::ttft_s) +
          LatencyPlot("Time per output token", first, &SimulationReport::tpot_s);
  if (const std::string plots = AxisPlots(report); !plots.empty()) {
    html += "<h2>Sweep</h2>\n" + plots;
  }
  html += "<h2>Timeline</h2>\n";
  for (const SweepRun* run : first) html += Timeline(*run);
  return html + "<h2>Runs</h2>\n" + Table(report) + "</body></html>\n";
}

}  // namespace shoal
