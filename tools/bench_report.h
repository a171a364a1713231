// What `shoal bench` measured, and its forms: text for people, Markdown, CSV, JSON and an SVG plot.
// Pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace shoal {

struct BenchCase {
  enum class Kind { kPrefill, kDecode };
  Kind kind = Kind::kPrefill;
  int32_t tokens = 0;    // of each session's prompt, or of its answer
  int32_t sessions = 1;  // at once
  int threads = 1;

  friend bool operator==(const BenchCase&, const BenchCase&) = default;
};

struct BenchResult {
  BenchCase what;
  std::vector<double> tokens_per_s;  // of all sessions together; one per round, at least one
};

// What this machine can do at most with a number of threads, measured beside the results.
struct MachineBounds {
  double memory_bytes_per_s = 0;  // plain reads
  double int8_macs_per_s = 0;     // the instruction set's int8 multiply-adds on registers
};

struct BenchReport {
  std::string model;
  std::string isa;
  int32_t local_nodes = 0;
  int64_t weight_bytes_per_token = 0;   // that a decode step of one session reads
  int64_t macs_per_token = 0;           // multiply-adds of the weights
  std::map<int, MachineBounds> bounds;  // by threads
  std::vector<BenchResult> results;
};

double Median(std::vector<double> values);

// The most tokens per second that memory (decode) or arithmetic (both) allow; 0 if not known.
// Sessions that decode together share one read of the weights.
double RooflineTokensPerS(const BenchReport& report, const BenchCase& what);

std::string BenchText(const BenchReport& report);
std::string BenchMarkdown(const BenchReport& report);
std::string BenchCsv(const BenchReport& report);
// One line. The first prefill and the first decode also stand at the top level, as
// prefill_tokens_per_s and decode_tokens_per_s with their bounds.
std::string BenchJson(const BenchReport& report);
// Bars with their spread, and a mark where the bound is.
std::string BenchSvg(const BenchReport& report);

}  // namespace shoal
