// Proves what the forms of a benchmark say: medians, bounds and their shares worked out by hand,
// and that machines can read them back.
#include "tools/bench_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr auto kPrefill = BenchCase::Kind::kPrefill;
constexpr auto kDecode = BenchCase::Kind::kDecode;

// 10 MB of weights and 20 million multiply-adds per token, on 1 GB/s and 4 GMAC/s: memory allows
// 100 tokens/s per session, arithmetic 200 of all sessions.
BenchReport Report() {
  BenchReport report;
  report.model = "m.gguf";
  report.isa = "avx2";
  report.weight_bytes_per_token = 10'000'000;
  report.macs_per_token = 20'000'000;
  report.bounds[2] = {1e9, 4e9};
  report.results = {{{kPrefill, 512, 1, 2}, {90, 110, 100}},
                    {{kDecode, 128, 1, 2}, {60, 40}},
                    {{kDecode, 128, 4, 2}, {80}}};
  return report;
}

TEST(BenchReport, MedianOfOddAndEvenCounts) {
  EXPECT_EQ(Median({3, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1, 2, 3}), 2.5);
  EXPECT_EQ(Median({}), 0);
}

TEST(BenchReport, DecodeIsBoundByMemoryUntilSessionsShareIt) {
  const BenchReport report = Report();
  EXPECT_EQ(RooflineTokensPerS(report, {kPrefill, 512, 1, 2}), 200);
  EXPECT_EQ(RooflineTokensPerS(report, {kDecode, 128, 1, 2}), 100);
  EXPECT_EQ(RooflineTokensPerS(report, {kDecode, 128, 2, 2}), 200);
  EXPECT_EQ(RooflineTokensPerS(report, {kDecode, 128, 4, 2}), 200);
  EXPECT_EQ(RooflineTokensPerS(report, {kDecode, 128, 1, 7}), 0) << "threads without a bound";
}

TEST(BenchReport, JsonHasTheFirstOfEachAtTheTop) {
  const auto json = nlohmann::json::parse(BenchJson(Report()));
  EXPECT_EQ(json["prefill_tokens_per_s"], 100);
  EXPECT_EQ(json["decode_tokens_per_s"], 50);
  EXPECT_EQ(json["weight_bytes_per_token"], 10'000'000);
  EXPECT_EQ(json["memory_bandwidth_share"], 0.5);
  ASSERT_EQ(json["results"].size(), 3U);
  EXPECT_EQ(json["results"][2]["sessions"], 4);
  EXPECT_EQ(json["results"][2]["bound_tokens_per_s"], 200);
  EXPECT_EQ(json["results"][0]["rounds"], nlohmann::json({90, 110, 100}));
}

TEST(BenchReport, WhatWasNotMeasuredIsNull) {
  BenchReport report = Report();
  report.results.erase(report.results.begin());
  EXPECT_TRUE(nlohmann::json::parse(BenchJson(report))["prefill_tokens_per_s"].is_null());
}

TEST(BenchReport, TablesHaveARowForEachResult) {
  EXPECT_THAT(BenchMarkdown(Report()),
              HasSubstr("| prefill 512 | 2 | 1 | 100.0 | 90.0 | 110.0 | 200 | 50 % |\n"));
  EXPECT_THAT(BenchCsv(Report()), HasSubstr("\ndecode,128,2,4,1,80.000,80.000,80.000,200.000\n"));
  EXPECT_THAT(BenchText(Report()), HasSubstr("(median of 2; 40.0 to 60.0)  50 % of the bound\n"));
}

// The bar of half the bound is half as long as where the bound's mark is.
TEST(BenchReport, PlotIsToScale) {
  const std::string svg = BenchSvg(Report());
  EXPECT_THAT(svg, HasSubstr("<rect x=\"230\" y=\"60\" width=\"210.0\""));
  EXPECT_THAT(svg, HasSubstr("<rect x=\"649.0\" y=\"57\" width=\"2\""));
  EXPECT_THAT(svg, ::testing::EndsWith("</svg>\n"));
}

}  // namespace
}  // namespace shoal
