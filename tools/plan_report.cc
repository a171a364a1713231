#include "tools/plan_report.h"

#include <fmt/format.h>

#include <algorithm>

namespace shoal {

namespace {

constexpr double kGib = 1024.0 * 1024 * 1024;

std::string Gib(int64_t bytes) { return fmt::format("{:.2f}", static_cast<double>(bytes) / kGib); }

std::string Ms(double seconds) {
  constexpr double kNothing = 1e-9;
  return seconds < kNothing ? "0" : fmt::format("{:.4g}", seconds * 1e3);
}

const DeviceProfile& DeviceOf(const PlanProblem& problem, const PlannedStage& stage) {
  return problem.cluster.devices[static_cast<size_t>(stage.device)];
}

// Rows of cells as columns that fit; the first `left` columns are text, the rest numbers.
std::string AlignedTable(const std::vector<std::vector<std::string>>& rows, size_t left) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += i < left ? fmt::format("{:<{}}", row[i], widths[i])
                       : fmt::format("{:>{}}", row[i], widths[i]);
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string Heading(const PlanHeading& heading, const PlanProblem& problem) {
  const Workload& workload = problem.workload;
  return fmt::format(
      "{} on {}\n{} session{}, {} tokens of {} KV in all; prompts of {}, answers of {} tokens\n\n",
      heading.model, heading.cluster, workload.sessions, workload.sessions == 1 ? "" : "s",
      workload.kv_tokens, heading.kv_type, workload.prompt_tokens, workload.output_tokens);
}

std::string PredictionText(const PlanProblem& problem, const Plan& plan) {
  const Prediction& prediction = plan.prediction;
  std::string text = fmt::format(
      "predicted    {} ms for a token ({:.4g} tokens/s) of one session\n"
      "             {:.4g} tokens/s of {} session{}\n"
      "             {:.4g} s to the first token of a prompt of {}\n",
      Ms(prediction.decode_s), 1 / prediction.decode_s, prediction.tokens_per_s,
      problem.workload.sessions, problem.workload.sessions == 1 ? "" : "s",
      prediction.first_token_s, problem.workload.prompt_tokens);
  if (prediction.joules_per_token > 0) {
    text += fmt::format("             {:.3g} J for a token\n", prediction.joules_per_token);
  }
  return text;
}

std::string BoundText(const Plan& plan) {
  if (plan.lower_bound <= 0) return "nothing is proved of better plans";
  const double gap = std::max(0.0, plan.objective / plan.lower_bound - 1);
  constexpr double kNothing = 1e-9;
  if (gap < kNothing) return "proved: no plan is better";
  return fmt::format("proved: no plan is better than {} ms (gap {:.2f} %)", Ms(plan.lower_bound),
                     100 * gap);
}

std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      case '&': escaped += "&amp;"; break;
      default: escaped += c;
    }
  }
  return escaped;
}

}  // namespace

std::string PlanText(const PlanHeading& heading, const PlanProblem& problem, const Plan& plan) {
  std::vector<std::vector<std::string>> rows = {{"stage", "device", "layers", "weights", "KV",
                                                 "needs", "of GiB", "compute", "send ms", "busy"}};
  for (const PlannedStage& stage : plan.stages) {
    rows.push_back({std::to_string(rows.size()), DeviceOf(problem, stage).name,
                    fmt::format("[{}, {})", stage.layers.begin, stage.layers.end),
                    Gib(stage.weight_bytes), Gib(stage.kv_bytes), Gib(stage.needed_bytes),
                    Gib(DeviceOf(problem, stage).memory_bytes), Ms(stage.decode_s),
                    Ms(stage.decode_hop_s), fmt::format("{:.0f} %", 100 * stage.utilization)});
  }
  return Heading(heading, problem) + AlignedTable(rows, 3) + "\n" + PredictionText(problem, plan) +
         fmt::format("objective    {} ms by strategy {}; {}\n", Ms(plan.objective), plan.strategy,
                     BoundText(plan));
}

std::string PlanSvg(const PlanHeading& heading, const PlanProblem& problem, const Plan& plan) {
  constexpr int kWidth = 900;
  constexpr int kLeft = 230;
  constexpr int kBars = 280;  // each of the two columns
  constexpr int kColumn = 330;
  constexpr int kRowHeight = 26;
  constexpr int kTop = 64;
  const int height = kTop + kRowHeight * static_cast<int>(plan.stages.size()) + 16;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} "
      "{1}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{0}\" height=\"{1}\" "
      "fill=\"#ffffff\"/>\n<text x=\"12\" y=\"20\" font-size=\"14\">{2} on {3}: {4} ms for a "
      "token</text>\n<text x=\"{5}\" y=\"44\">time of a token: compute, send (ms)</text>\n"
      "<text x=\"{6}\" y=\"44\">memory needed of what it has (GiB)</text>\n",
      kWidth, height, Escaped(heading.model), Escaped(heading.cluster),
      Ms(plan.prediction.decode_s), kLeft, kLeft + kColumn);
  double longest_s = 1e-12;
  int64_t largest = 1;
  for (const PlannedStage& stage : plan.stages) {
    longest_s = std::max(longest_s, stage.decode_s + stage.decode_hop_s);
    largest = std::max(largest, DeviceOf(problem, stage).memory_bytes);
  }
  const auto bar = [&svg](double x, int y, double width, const char* color) {
    svg += fmt::format("<rect x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"16\" fill=\"{}\"/>\n",
                       x, y, width, color);
  };
  int y = kTop;
  for (const PlannedStage& stage : plan.stages) {
    const DeviceProfile& device = DeviceOf(problem, stage);
    const double compute = stage.decode_s / longest_s * kBars;
    const auto of_memory = [largest](int64_t bytes) {
      return static_cast<double>(bytes) / static_cast<double>(largest) * kBars;
    };
    svg +=
        fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{} [{}, {})</text>\n", kLeft - 8,
                    y + 13, Escaped(device.name), stage.layers.begin, stage.layers.end);
    bar(kLeft, y, compute, "#4c78a8");
    bar(kLeft + compute, y, stage.decode_hop_s / longest_s * kBars, "#f28e2b");
    bar(kLeft + kColumn, y, of_memory(device.memory_bytes), "#dddddd");
    bar(kLeft + kColumn, y, of_memory(stage.needed_bytes), "#59a14f");
    svg += fmt::format("<text x=\"{}\" y=\"{}\">{} / {}</text>\n", kLeft + kColumn + 4, y + 13,
                       Gib(stage.needed_bytes), Gib(device.memory_bytes));
    y += kRowHeight;
  }
  return svg + "</svg>\n";
}

namespace {

std::string EndpointNameOf(const Cluster& cluster, int32_t endpoint) {
  if (endpoint == cluster.coordinator()) return "the coordinator";
  return cluster.devices[static_cast<size_t>(endpoint)].name;
}

std::string BottleneckText(const Cluster& cluster, const Bottleneck& bottleneck) {
  std::string what;
  switch (bottleneck.kind) {
    case Bottleneck::Kind::kDevice: what = EndpointNameOf(cluster, bottleneck.from); break;
    case Bottleneck::Kind::kLink:
      what = fmt::format("the link from {} to {}", EndpointNameOf(cluster, bottleneck.from),
                         EndpointNameOf(cluster, bottleneck.to));
      break;
    case Bottleneck::Kind::kPassage: what = "the way through all stages: too few sessions"; break;
  }
  return fmt::format("{}, {:.4g} ms, {:.0f} %", what, 1e3 * bottleneck.seconds,
                     100 * bottleneck.share);
}

}  // namespace

std::string ExplanationText(const PlanProblem& problem, const Plan& plan,
                            const Explanation& explanation) {
  const Cluster& cluster = problem.cluster;
  std::string text = fmt::format("\nholds back\n  a token       {}\n  throughput    {}\n",
                                 BottleneckText(cluster, explanation.decode),
                                 BottleneckText(cluster, explanation.throughput));
  if (!explanation.left_out.empty()) text += "left out, and the best plan with it\n";
  for (const LeftOut& left : explanation.left_out) {
    text += left.objective > 0
                ? fmt::format("  {:<13} {:.4g} ms instead of {:.4g} ({:.2f} times)\n",
                              EndpointNameOf(cluster, left.device), 1e3 * left.objective,
                              1e3 * plan.objective, left.ratio)
                : fmt::format("  {:<13} no such plan was found\n",
                              EndpointNameOf(cluster, left.device));
  }
  if (!explanation.changes.empty()) text += "would help most\n";
  for (const Change& change : explanation.changes) {
    text += fmt::format("  {}: {:.4g} -> {:.4g} ms\n", DescribeChange(cluster, change),
                        1e3 * change.before, 1e3 * change.after);
  }
  if (explanation.not_tried > 0) {
    text += fmt::format("({} more devices and changes were not tried)\n", explanation.not_tried);
  }
  return text;
}

std::string ComparisonText(const PlanHeading& heading, const PlanProblem& problem,
                           const std::vector<StrategyAnswer>& answers) {
  std::vector<const StrategyAnswer*> plans;
  std::string failures;
  for (const StrategyAnswer& answer : answers) {
    if (answer.plan.ok()) {
      plans.push_back(&answer);
    } else {
      failures += fmt::format("{}: {}\n", answer.strategy, answer.plan.error().message);
    }
  }
  std::stable_sort(plans.begin(), plans.end(), [](const auto* a, const auto* b) {
    return a->plan->objective < b->plan->objective;
  });
  std::vector<std::vector<std::string>> rows = {
      {"strategy", "devices", "objective ms", "to best", "ms/token", "tokens/s", "first token s"}};
  for (const StrategyAnswer* answer : plans) {
    const Plan& plan = *answer->plan;
    rows.push_back({answer->strategy, std::to_string(plan.stages.size()), Ms(plan.objective),
                    fmt::format("{:.3f}", plan.objective / plans.front()->plan->objective),
                    Ms(plan.prediction.decode_s),
                    fmt::format("{:.4g}", plan.prediction.tokens_per_s),
                    fmt::format("{:.4g}", plan.prediction.first_token_s)});
  }
  std::string text = Heading(heading, problem);
  if (!plans.empty()) text += AlignedTable(rows, 1);
  if (!failures.empty()) text += "\nwithout a plan:\n" + failures;
  return text;
}

}  // namespace shoal
