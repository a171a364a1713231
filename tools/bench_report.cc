#include "tools/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/units.h"

namespace shoal {

namespace {

// One line of a table.
struct Row {
  std::string name;
  double median;
  double least;
  double most;
  double roofline;

  double Share() const { return roofline > 0 ? median / roofline : 0; }
};

std::string_view NameOf(BenchCase::Kind kind) {
  return kind == BenchCase::Kind::kPrefill ? "prefill" : "decode";
}

Row RowOf(const BenchReport& report, const BenchResult& result) {
  const auto [least, most] =
      std::minmax_element(result.tokens_per_s.begin(), result.tokens_per_s.end());
  return {fmt::format("{} {}", NameOf(result.what.kind), result.what.tokens),
          Median(result.tokens_per_s), *least, *most, RooflineTokensPerS(report, result.what)};
}

std::string BoundsLine(int threads, const MachineBounds& bounds) {
  return fmt::format("{} thread{}: memory reads at {:.1f} GB/s, int8 at {:.0f} GMAC/s", threads,
                     threads == 1 ? "" : "s", bounds.memory_bytes_per_s / kGiga,
                     bounds.int8_macs_per_s / kGiga);
}

std::string ModelLine(const BenchReport& report) {
  return fmt::format("{:.1f} MB of weights and {:.0f} million multiply-adds per token, {}",
                     static_cast<double>(report.weight_bytes_per_token) / 1e6,
                     static_cast<double>(report.macs_per_token) / 1e6, report.isa);
}

const BenchResult* First(const BenchReport& report, BenchCase::Kind kind) {
  const auto found =
      std::find_if(report.results.begin(), report.results.end(),
                   [kind](const BenchResult& result) { return result.what.kind == kind; });
  return found == report.results.end() ? nullptr : &*found;
}

}  // namespace

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double RooflineTokensPerS(const BenchReport& report, const BenchCase& what) {
  const auto found = report.bounds.find(what.threads);
  if (found == report.bounds.end() || report.macs_per_token <= 0) return 0;
  const MachineBounds& bounds = found->second;
  const double arithmetic = bounds.int8_macs_per_s / static_cast<double>(report.macs_per_token);
  if (what.kind == BenchCase::Kind::kPrefill || report.weight_bytes_per_token <= 0) {
    return arithmetic;
  }
  const double memory = bounds.memory_bytes_per_s /
                        static_cast<double>(report.weight_bytes_per_token) * what.sessions;
  return arithmetic > 0 ? std::min(memory, arithmetic) : memory;
}

std::string BenchText(const BenchReport& report) {
  std::string text = ModelLine(report) + "\n";
  for (const auto& [threads, bounds] : report.bounds) text += BoundsLine(threads, bounds) + "\n";
  for (const BenchResult& result : report.results) {
    const Row row = RowOf(report, result);
    text += fmt::format("{:<13} {:>2} thread{} {:>2} session{} {:>9.1f} tokens/s", row.name,
                        result.what.threads, result.what.threads == 1 ? " " : "s",
                        result.what.sessions, result.what.sessions == 1 ? " " : "s", row.median);
    text += fmt::format("  (median of {}; {:.1f} to {:.1f})  {:.0f} % of the bound\n",
                        result.tokens_per_s.size(), row.least, row.most, 100 * row.Share());
  }
  return text;
}

std::string BenchMarkdown(const BenchReport& report) {
  std::string text = fmt::format("{}: {}\n\n", report.model, ModelLine(report));
  for (const auto& [threads, bounds] : report.bounds) {
    text += fmt::format("- {}\n", BoundsLine(threads, bounds));
  }
  text +=
      "\n| test | threads | sessions | tokens/s | least | most | bound | share of it |\n"
      "|---|---|---|---|---|---|---|---|\n";
  for (const BenchResult& result : report.results) {
    const Row row = RowOf(report, result);
    text += fmt::format("| {} | {} | {} | {:.1f} | {:.1f} | {:.1f} | {:.0f} | {:.0f} % |\n",
                        row.name, result.what.threads, result.what.sessions, row.median, row.least,
                        row.most, row.roofline, 100 * row.Share());
  }
  return text;
}

std::string BenchCsv(const BenchReport& report) {
  std::string text =
      "test,tokens,threads,sessions,rounds,median_tokens_per_s,least_tokens_per_s,"
      "most_tokens_per_s,bound_tokens_per_s\n";
  for (const BenchResult& result : report.results) {
    const Row row = RowOf(report, result);
    text += fmt::format("{},{},{},{},{},{:.3f},{:.3f},{:.3f},{:.3f}\n", NameOf(result.what.kind),
                        result.what.tokens, result.what.threads, result.what.sessions,
                        result.tokens_per_s.size(), row.median, row.least, row.most, row.roofline);
  }
  return text;
}

std::string BenchJson(const BenchReport& report) {
  nlohmann::ordered_json out;
  out["engine"] = "shoal";
  out["model"] = report.model;
  out["isa"] = report.isa;
  out["local_nodes"] = report.local_nodes;
  out["weight_bytes_per_token"] = report.weight_bytes_per_token;
  out["macs_per_token"] = report.macs_per_token;
  for (const auto kind : {BenchCase::Kind::kPrefill, BenchCase::Kind::kDecode}) {
    const BenchResult* first = First(report, kind);
    const std::string name = std::string(NameOf(kind)) + "_tokens_per_s";
    out[name] = first == nullptr ? nlohmann::ordered_json()
                                 : nlohmann::ordered_json(Median(first->tokens_per_s));
    if (first == nullptr) continue;
    out["threads"] = first->what.threads;
    const auto bounds = report.bounds.find(first->what.threads);
    if (bounds == report.bounds.end()) continue;
    out["memory_bytes_per_s"] = bounds->second.memory_bytes_per_s;
    out["int8_macs_per_s"] = bounds->second.int8_macs_per_s;
    if (kind == BenchCase::Kind::kDecode) {
      out["memory_bandwidth_share"] = Median(first->tokens_per_s) / first->what.sessions *
                                      static_cast<double>(report.weight_bytes_per_token) /
                                      bounds->second.memory_bytes_per_s;
    }
  }
  out["results"] = nlohmann::ordered_json::array();
  for (const BenchResult& result : report.results) {
    const Row row = RowOf(report, result);
    out["results"].push_back({{"test", NameOf(result.what.kind)},
                              {"tokens", result.what.tokens},
                              {"threads", result.what.threads},
                              {"sessions", result.what.sessions},
                              {"tokens_per_s", row.median},
                              {"rounds", result.tokens_per_s},
                              {"bound_tokens_per_s", row.roofline}});
  }
  return out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string BenchSvg(const BenchReport& report) {
  constexpr int kWidth = 760;
  constexpr int kLeft = 230;  // where bars begin
  constexpr int kBars = 420;  // the longest bar or mark
  constexpr int kRowHeight = 24;
  constexpr int kTop = 56;
  const int height = kTop + kRowHeight * static_cast<int>(report.results.size()) + 16;
  // Prefill and decode are too far apart for one scale.
  std::map<BenchCase::Kind, double> longest;
  for (const BenchResult& result : report.results) {
    const Row row = RowOf(report, result);
    double& most = longest[result.what.kind];
    most = std::max({most, row.most, row.roofline});
  }
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} "
      "{1}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{0}\" height=\"{1}\" "
      "fill=\"#ffffff\"/>\n<text x=\"12\" y=\"20\" font-size=\"14\">tokens per second: bar = "
      "median, "
      "line = least to most, red mark = bound of this machine</text>\n<text x=\"12\" y=\"40\" "
      "fill=\"#555555\">{2}</text>\n",
      kWidth, height, ModelLine(report));
  int y = kTop;
  for (const BenchResult& result : report.results) {
    const Row row = RowOf(report, result);
    const double scale = kBars / std::max(longest.at(result.what.kind), 1e-9);
    const bool prefill = result.what.kind == BenchCase::Kind::kPrefill;
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}, {} thr., {} sess.</text>\n",
                       kLeft - 8, y + 15, row.name, result.what.threads, result.what.sessions);
    svg += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{:.1f}\" height=\"14\" fill=\"{}\"/>\n",
                       kLeft, y + 4, row.median * scale, prefill ? "#4c78a8" : "#59a14f");
    svg +=
        fmt::format("<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{}\" y2=\"{}\" stroke=\"#222222\"/>\n",
                    kLeft + row.least * scale, kLeft + row.most * scale, y + 11, y + 11);
    if (row.roofline > 0) {
      svg +=
          fmt::format("<rect x=\"{:.1f}\" y=\"{}\" width=\"2\" height=\"20\" fill=\"#e15759\"/>\n",
                      kLeft + row.roofline * scale - 1, y + 1);
    }
    svg += fmt::format("<text x=\"{}\" y=\"{}\">{:.1f}</text>\n", kLeft + kBars + 10, y + 15,
                       row.median);
    y += kRowHeight;
  }
  return svg + "</svg>\n";
}

}  // namespace shoal
