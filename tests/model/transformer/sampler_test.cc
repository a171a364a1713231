// Proves that a token is drawn as SamplingParams says: greedy and truncation against a naive oracle
// in double over random logits, the draw by chi-square against the exact distribution, penalties by
// numbers worked by hand, and that no parameter or logit makes it fail.
#include "model/transformer/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>

namespace shoal {
namespace {

using ::testing::ElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

SampledToken Sample(std::vector<float> logits, const SamplingParams& params, int32_t position = 0,
                    const TokenHistory& history = {}, kernels::Isa isa = kernels::Isa::kReference) {
  std::vector<TokenLogprob> scratch;
  return SampleToken(kernels::TableFor(isa), logits, params, history, SessionId{1}, position,
                     scratch);
}

std::vector<float> RandomLogits(size_t count, std::mt19937_64& random) {
  std::normal_distribution<float> values(0, 3);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = values(random);
  return logits;
}

// Probabilities after temperature, top-k, top-p and min-p, written down the slow way.
std::map<int32_t, double> OracleDistribution(const std::vector<float>& logits,
                                             const SamplingParams& params) {
  std::vector<std::pair<double, int32_t>> all;
  const double max = *std::max_element(logits.begin(), logits.end());
  for (size_t i = 0; i < logits.size(); ++i) {
    all.emplace_back(std::exp((logits[i] - max) / params.temperature), static_cast<int32_t>(i));
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < all.size()) {
    all.resize(static_cast<size_t>(params.top_k));
  }
  double sum = 0;
  for (const auto& [weight, token] : all) sum += weight;
  if (params.top_p < 1) {
    double reached = 0;
    size_t kept = 0;
    while (kept < all.size() && (kept == 0 || reached < params.top_p * sum)) {
      reached += all[kept++].first;
    }
    all.resize(kept);
  }
  while (all.size() > 1 && all.back().first < static_cast<double>(params.min_p) * all[0].first) {
    all.pop_back();
  }
  sum = 0;
  for (const auto& [weight, token] : all) sum += weight;
  std::map<int32_t, double> distribution;
  for (const auto& [weight, token] : all) distribution[token] = weight / sum;
  return distribution;
}

TEST(SamplerTest, GreedyTakesTheLowestOfTheLikeliest) {
  EXPECT_EQ(Sample({1, 3, 2, 3}, {}).token, 1);
  EXPECT_EQ(Sample({-kInfinity, -5, kNan}, {}).token, 1);
  EXPECT_EQ(Sample({7}, {}).token, 0);
  const SampledToken sampled = Sample({1, 3, 2}, {}, 42);
  EXPECT_EQ(sampled.session, SessionId{1});
  EXPECT_EQ(sampled.position, 42);
  EXPECT_TRUE(sampled.top.empty());
}

// Every combination of truncations over random logits: what is ever drawn is exactly what the
// oracle keeps, as often as it says.
TEST(SamplerTest, DrawsFromTheOraclesDistribution) {
  constexpr int kDraws = 4000;
  std::mt19937_64 random(20261122);
  int checked = 0;
  for (float temperature : {0.5f, 1.0f, 2.0f}) {
    for (int32_t top_k : {0, 1, 5, 1000}) {
      for (float top_p : {1.0f, 0.9f, 0.3f, 0.0f}) {
        for (float min_p : {0.0f, 0.05f, 0.5f}) {
          SamplingParams params;
          params.temperature = temperature;
          params.top_k = top_k;
          params.top_p = top_p;
          params.min_p = min_p;
          params.seed = random();
          const std::vector<float> logits = RandomLogits(60, random);
          const std::map<int32_t, double> oracle = OracleDistribution(logits, params);
          std::map<int32_t, int> drawn;
          for (int i = 0; i < kDraws; ++i) ++drawn[Sample(logits, params, i).token];
          // Tokens expected fewer than 5 times are lumped together, as the test demands.
          double chi_square = 0;
          double rare_expected = 0;
          int rare_drawn = 0;
          int bins = 0;
          for (const auto& [token, probability] : oracle) {
            const double expected = probability * kDraws;
            if (expected < 5) {
              rare_expected += expected;
              rare_drawn += drawn[token];
            } else {
              chi_square += (drawn[token] - expected) * (drawn[token] - expected) / expected;
              ++bins;
            }
          }
          if (rare_expected > 0) {
            chi_square += (rare_drawn - rare_expected) * (rare_drawn - rare_expected) /
                          std::max(rare_expected, 1.0);
            ++bins;
          }
          for (const auto& [token, count] : drawn) {
            EXPECT_TRUE(count == 0 || oracle.contains(token)) << "token " << token;
          }
          // Mean bins, variance 2 bins: six standard deviations, and slack for few bins.
          EXPECT_LE(chi_square, bins + 6 * std::sqrt(2.0 * bins) + 10)
              << "temperature " << temperature << " top_k " << top_k << " top_p " << top_p
              << " min_p " << min_p << " seed " << params.seed;
          ++checked;
        }
      }
    }
  }
  EXPECT_EQ(checked, 3 * 4 * 4 * 3);
}

// With a large vocabulary the candidates are filtered before sorting; the support stays exact.
TEST(SamplerTest, TopPOfALargeVocabularyKeepsWhatTheOracleKeeps) {
  std::mt19937_64 random(3);
  SamplingParams params;
  params.temperature = 1.5f;
  params.top_p = 0.4f;
  for (int round = 0; round < 5; ++round) {
    const std::vector<float> logits = RandomLogits(20'000, random);
    const std::map<int32_t, double> oracle = OracleDistribution(logits, params);
    ASSERT_GT(oracle.size(), 50u);
    std::set<int32_t> drawn;
    for (int i = 0; i < 300; ++i) {
      params.seed = random();
      const int32_t token = Sample(logits, params, i).token;
      EXPECT_TRUE(oracle.contains(token)) << token;
      drawn.insert(token);
    }
    EXPECT_GT(drawn.size(), 30u);
  }
}

TEST(SamplerTest, TheDrawDependsOnSeedAndPositionOnly) {
  std::mt19937_64 random(5);
  const std::vector<float> logits = RandomLogits(1000, random);
  SamplingParams params;
  params.temperature = 2;
  params.seed = 17;
  std::vector<int32_t> first;
  for (int i = 0; i < 50; ++i) first.push_back(Sample(logits, params, i).token);
  for (int i = 49; i >= 0; --i) EXPECT_EQ(Sample(logits, params, i).token, first[i]);
  params.seed = 18;
  int same = 0;
  for (int i = 0; i < 50; ++i) same += Sample(logits, params, i).token == first[i] ? 1 : 0;
  EXPECT_LT(same, 10);
}

// Of a vocabulary that is no multiple of a register or of what is computed at a time.
TEST(SamplerTest, EveryInstructionSetDrawsTheSame) {
  std::mt19937_64 random(6);
  const std::vector<float> logits = RandomLogits(5003, random);
  for (const auto& [top_p, min_p] : {std::pair{1.0f, 0.0f}, {0.95f, 0.0f}, {1.0f, 0.01f}}) {
    SamplingParams params;
    params.temperature = 0.9f;
    params.top_p = top_p;
    params.min_p = min_p;
    std::set<int32_t> drawn;
    for (int32_t position = 0; position < 200; ++position) {
      const int32_t expected = Sample(logits, params, position).token;
      for (const kernels::Isa isa : kernels::SupportedIsas()) {
        ASSERT_EQ(Sample(logits, params, position, {}, isa).token, expected);
      }
      drawn.insert(expected);
    }
    EXPECT_GT(drawn.size(), 50u);
  }
}

TEST(SamplerTest, PenaltiesByHand) {
  TokenHistory history;
  history.tokens = {0, 1, 1, 2, 2, 2};  // the answer is 2, 2, 2 after a prompt of 0, 1, 1
  history.prompt_tokens = 3;
  SamplingParams params;
  params.logprobs = 4;
  params.repetition_penalty = 2;
  const auto logits_after = [&](std::vector<float> logits) {
    std::vector<TokenLogprob> scratch;
    SampleToken(kernels::TableFor(kernels::Isa::kReference), logits, params, history, SessionId{1},
                6, scratch);
    return logits;
  };
  // Once per distinct token: halved above 0, doubled below; 3 is not in the history.
  EXPECT_THAT(logits_after({4, -1, 3, 5}), ElementsAre(2, -2, 1.5f, 5));

  params.repetition_penalty = 1;
  params.presence_penalty = 0.5f;
  EXPECT_THAT(logits_after({4, -1, 3, 5}), ElementsAre(4, -1, 2.5f, 5));
  params.frequency_penalty = 0.25f;
  EXPECT_THAT(logits_after({4, -1, 3, 5}), ElementsAre(4, -1, 1.75f, 5));
  params.repetition_penalty = 2;  // comes before the others
  EXPECT_THAT(logits_after({4, -1, 3, 5}), ElementsAre(2, -2, 0.25f, 5));
  params.logit_bias = {{0, 1}, {2, -4}, {-1, 9}, {4, 9}};  // comes first; unknown ids are ignored
  EXPECT_THAT(logits_after({4, -1, 3, 5}), ElementsAre(2.5f, -2, -3.25f, 5));
}

TEST(SamplerTest, PenaltiesIgnoreTokensOutsideTheVocabulary) {
  TokenHistory history;
  history.tokens = {-1, 100, 1};
  SamplingParams params;
  params.repetition_penalty = 2;
  params.frequency_penalty = 1;
  EXPECT_EQ(Sample({3, 4}, params, 3, history).token, 0);
  history.prompt_tokens = 50;  // more than there are
  EXPECT_EQ(Sample({3, 4}, params, 3, history).token, 0);
}

TEST(SamplerTest, LogprobsAreOfTheWholeDistribution) {
  std::mt19937_64 random(9);
  SamplingParams params;
  params.temperature = 0.7f;  // changes the draw, not the logprobs
  params.top_k = 3;
  params.logprobs = 20;
  const std::vector<float> logits = RandomLogits(20, random);
  const SampledToken sampled = Sample(logits, params);
  ASSERT_EQ(sampled.top.size(), 20u);
  double sum = 0;
  for (size_t i = 0; i < sampled.top.size(); ++i) {
    sum += std::exp(static_cast<double>(sampled.top[i].logprob));
    if (i > 0) {
      EXPECT_GE(sampled.top[i - 1].logprob, sampled.top[i].logprob);
    }
    if (sampled.top[i].token == sampled.token) {
      EXPECT_EQ(sampled.top[i].logprob, sampled.logprob);
    }
  }
  EXPECT_NEAR(sum, 1, 1e-6);
  EXPECT_EQ(sampled.top[0].token, std::max_element(logits.begin(), logits.end()) - logits.begin());

  params.logprobs = 0;
  EXPECT_TRUE(Sample(logits, params).top.empty());
  EXPECT_LT(Sample(logits, params).logprob, 0);
  params.logprobs = 3;
  EXPECT_EQ(Sample({2, 2, 2, 2}, params).top[2].token, 2);  // ties by id
}

TEST(SamplerTest, LogSumExpIsExactEnough) {
  EXPECT_NEAR(LogSumExp(std::vector<float>{0, 0}), std::log(2.0), 1e-15);
  EXPECT_NEAR(LogSumExp(std::vector<float>{1000, 1000, 1000}), 1000 + std::log(3.0), 1e-12);
  EXPECT_EQ(LogSumExp(std::vector<float>{-kInfinity, -kInfinity}), -kInfinity);
  EXPECT_NEAR(LogSumExp(std::vector<float>{-kInfinity, 2}), 2, 1e-15);
}

// Whatever comes in, a token of the vocabulary comes out.
TEST(SamplerTest, NothingMakesItFail) {
  const std::vector<std::vector<float>> all_logits = {
      {kNan, kNan, kNan},        {-kInfinity, -kInfinity, -kInfinity},
      {kInfinity, 1, kInfinity}, {kNan, 2, -kInfinity},
      {3e38f, -3e38f, 0},        {0, 0, 0}};
  std::vector<float> odd = {0, -1, 1, 1e-45f, 1e-30f, 0.5f, 3e38f, kInfinity, -kInfinity, kNan};
  TokenHistory history;
  history.tokens = {0, 1, 2, 1};
  history.prompt_tokens = 2;
  for (const std::vector<float>& logits : all_logits) {
    for (float a : odd) {
      for (float b : odd) {
        for (int32_t top_k : {-1, 0, 2, 3, 1 << 30}) {
          SamplingParams params;
          params.temperature = a;
          params.top_p = b;
          params.min_p = a;
          params.repetition_penalty = b;
          params.presence_penalty = a;
          params.frequency_penalty = b;
          params.top_k = top_k;
          params.logprobs = 2;
          params.logit_bias = {{1, b}};
          const SampledToken sampled = Sample(logits, params, 4, history);
          ASSERT_GE(sampled.token, 0);
          ASSERT_LT(sampled.token, 3);
          ASSERT_FALSE(std::isnan(sampled.logprob));
        }
      }
    }
  }
  SamplingParams nucleus;
  nucleus.temperature = 1;
  nucleus.top_p = 0;  // only the likeliest
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Sample({1, 2, 1.5f}, nucleus, i).token, 1);
}

}  // namespace
}  // namespace shoal
