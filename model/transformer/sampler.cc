#include "model/transformer/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "kernels/portable_math.h"

namespace shoal {

namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// Likelier first; of equals the lower id. An object, so that sorting calls no function.
constexpr auto kLikelier = [](const TokenLogprob& a, const TokenLogprob& b) {
  return a.logprob != b.logprob ? a.logprob > b.logprob : a.token < b.token;
};

void AddBias(std::span<float> logits, const SamplingParams& params) {
  for (const auto& [token, bias] : params.logit_bias) {
    if (token >= 0 && static_cast<size_t>(token) < logits.size()) {
      logits[static_cast<size_t>(token)] += bias;
    }
  }
}

// Calls body(token, count) for each distinct token of the history from `first` on that is in the
// vocabulary.
template <typename Body>
void ForEachDistinct(const TokenHistory& history, size_t first, size_t vocab,
                     std::vector<TokenLogprob>& scratch, Body&& body) {
  scratch.clear();
  for (size_t i = first; i < history.tokens.size(); ++i) scratch.push_back({history.tokens[i], 0});
  std::sort(scratch.begin(), scratch.end(),
            [](const TokenLogprob& a, const TokenLogprob& b) { return a.token < b.token; });
  for (size_t begin = 0, end = 0; begin < scratch.size(); begin = end) {
    const int32_t token = scratch[begin].token;
    while (end < scratch.size() && scratch[end].token == token) ++end;
    if (token >= 0 && static_cast<size_t>(token) < vocab) {
      body(static_cast<size_t>(token), end - begin);
    }
  }
}

void ApplyPenalties(std::span<float> logits, const SamplingParams& params,
                    const TokenHistory& history, std::vector<TokenLogprob>& scratch) {
  if (params.repetition_penalty != 1) {
    ForEachDistinct(history, 0, logits.size(), scratch, [&](size_t token, size_t) {
      float& logit = logits[token];
      logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    });
  }
  if (params.presence_penalty != 0 || params.frequency_penalty != 0) {
    const auto answer = static_cast<size_t>(std::max(history.prompt_tokens, 0));
    ForEachDistinct(history, answer, logits.size(), scratch, [&](size_t token, size_t count) {
      logits[token] -= params.presence_penalty;
      logits[token] -= params.frequency_penalty * static_cast<float>(count);
    });
  }
}

// Makes every logit a number below +inf and returns the likeliest token.
size_t SanitizeAndFindMax(std::span<float> logits) {
  constexpr float kMost = std::numeric_limits<float>::max();
  constexpr size_t kLanes = 16;  // maxima that do not wait for each other: in registers
  std::array<float, kLanes> largest;
  largest.fill(kMinusInfinity);
  for (size_t first = 0; first < logits.size(); first += kLanes) {
    float* x = logits.data() + first;
    const size_t count = std::min(kLanes, logits.size() - first);
    for (size_t lane = 0; lane < count; ++lane) {
      const float below = x[lane] < kMost ? x[lane] : kMost;
      x[lane] = std::isnan(x[lane]) ? kMinusInfinity : below;
      largest[lane] = x[lane] > largest[lane] ? x[lane] : largest[lane];
    }
  }
  const float max = *std::max_element(largest.begin(), largest.end());
  return static_cast<size_t>(std::find(logits.begin(), logits.end(), max) - logits.begin());
}

// The k likeliest, likeliest first.
void FindLikeliest(std::span<const float> logits, size_t k, std::vector<TokenLogprob>& out) {
  out.clear();
  if (k == 0) return;
  // A heap with the least likely of those kept on top.
  for (size_t i = 0; i < logits.size(); ++i) {
    const TokenLogprob candidate{static_cast<int32_t>(i), logits[i]};
    if (out.size() < k) {
      out.push_back(candidate);
      std::push_heap(out.begin(), out.end(), kLikelier);
    } else if (kLikelier(candidate, out.front())) {
      std::pop_heap(out.begin(), out.end(), kLikelier);
      out.back() = candidate;
      std::push_heap(out.begin(), out.end(), kLikelier);
    }
  }
  std::sort_heap(out.begin(), out.end(), kLikelier);
}

// Uniform in [0, 1), with 53 random bits. Source: the finalizer of SplitMix64 (Steele et al. 2014).
double UniformDraw(uint64_t seed, int32_t position) {
  const auto mix = [](uint64_t z) {
    z += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  };
  const uint64_t bits = mix(mix(seed) ^ static_cast<uint64_t>(position));
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

double SumOf(std::span<const TokenLogprob> candidates) {
  double sum = 0;
  for (const TokenLogprob& candidate : candidates) sum += static_cast<double>(candidate.logprob);
  return sum;
}

// Candidates hold weights in (0, 1], likeliest first; cuts off what top-p and min-p leave out. At
// least one stays. `sum` is that of the weights before this cut.
void Truncate(const SamplingParams& params, double sum, std::vector<TokenLogprob>& candidates) {
  size_t kept = candidates.size();
  if (params.top_p < 1) {
    const double enough = static_cast<double>(params.top_p) * sum;
    double reached = 0;
    for (kept = 0; kept < candidates.size();) {
      reached += static_cast<double>(candidates[kept++].logprob);
      if (reached >= enough) break;
    }
  }
  if (params.min_p > 0) {
    const float least = params.min_p * candidates.front().logprob;
    while (kept > 1 && candidates[kept - 1].logprob < least) --kept;
  }
  candidates.resize(std::max<size_t>(kept, 1));
}

// Exponentials are computed this many at a time, twice where a draw needs them twice.
constexpr size_t kChunk = 1024;

// Calls body(token, weight) with exp((logit - max) / temperature) for every token of weight above 0
// in order of tokens, until it returns false.
template <typename Body>
void ForEachWeight(const kernels::KernelTable& kernels, std::span<const float> logits, float max,
                   float temperature, Body&& body) {
  std::array<float, kChunk> weights;
  for (size_t first = 0; first < logits.size(); first += kChunk) {
    const size_t count = std::min(kChunk, logits.size() - first);
    std::copy_n(logits.begin() + static_cast<ptrdiff_t>(first), count, weights.begin());
    kernels.softmax_numerators(weights.data(), max, temperature, static_cast<int64_t>(count));
    for (size_t i = 0; i < count; ++i) {
      if (weights[i] > 0 && !body(static_cast<int32_t>(first + i), weights[i])) return;
    }
  }
}

// What can stay of the whole vocabulary after top-p and min-p, sorted; returns the sum of all
// weights. Top-p leaves out at least the tokens that weigh less than an even share of what it
// leaves out, min-p those below its bound. The max weighs 1.
double FindLikely(const kernels::KernelTable& kernels, std::span<const float> logits, float max,
                  const SamplingParams& params, std::vector<TokenLogprob>& candidates) {
  double sum = 0;
  int64_t count = 0;
  ForEachWeight(kernels, logits, max, params.temperature, [&](int32_t /*token*/, float weight) {
    sum += static_cast<double>(weight);
    ++count;
    return true;
  });
  double least = 0;
  if (params.top_p < 1) {
    least = (1 - static_cast<double>(params.top_p)) * sum / static_cast<double>(count);
  }
  if (params.min_p > 0) least = std::max(least, static_cast<double>(params.min_p));
  least = std::min(least, 1.0);
  candidates.clear();
  ForEachWeight(kernels, logits, max, params.temperature, [&](int32_t token, float weight) {
    if (static_cast<double>(weight) >= least) candidates.push_back({token, weight});
    return true;
  });
  std::sort(candidates.begin(), candidates.end(), kLikelier);
  return sum;
}

// The token at which the weights reach `share` of their sum, in order of candidates.
int32_t DrawFrom(std::span<const TokenLogprob> candidates, double share) {
  const double target = share * SumOf(candidates);
  double reached = 0;
  for (const TokenLogprob& candidate : candidates) {
    reached += static_cast<double>(candidate.logprob);
    if (reached > target) return candidate.token;
  }
  return candidates.back().token;
}

// The same from all tokens.
int32_t DrawFromAll(const kernels::KernelTable& kernels, std::span<const float> logits, float max,
                    float temperature, double share) {
  double sum = 0;
  ForEachWeight(kernels, logits, max, temperature, [&](int32_t /*token*/, float weight) {
    sum += static_cast<double>(weight);
    return true;
  });
  double reached = 0;
  int32_t drawn = 0;
  ForEachWeight(kernels, logits, max, temperature, [&](int32_t token, float weight) {
    reached += static_cast<double>(weight);
    drawn = token;
    return !(reached > share * sum);
  });
  return drawn;
}

// REQUIRES a logit above -inf.
int32_t Draw(const kernels::KernelTable& kernels, std::span<const float> logits, float max,
             const SamplingParams& params, int32_t position,
             std::vector<TokenLogprob>& candidates) {
  const double share = UniformDraw(params.seed, position);
  const bool cuts_mass = params.top_p < 1 || params.min_p > 0;
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < logits.size()) {
    FindLikeliest(logits, static_cast<size_t>(params.top_k), candidates);
    for (TokenLogprob& candidate : candidates) {
      candidate.logprob = kernels::ExpF((candidate.logprob - max) / params.temperature);
    }
    if (cuts_mass) Truncate(params, SumOf(candidates), candidates);
  } else if (cuts_mass) {
    const double sum = FindLikely(kernels, logits, max, params, candidates);
    Truncate(params, sum, candidates);
  } else {
    return DrawFromAll(kernels, logits, max, params.temperature, share);
  }
  return DrawFrom(candidates, share);
}

}  // namespace

SampledToken SampleToken(const kernels::KernelTable& kernels, std::span<float> logits,
                         const SamplingParams& params, const TokenHistory& history,
                         SessionId session, int32_t position, std::vector<TokenLogprob>& scratch) {
  CHECK(!logits.empty(), "a vocabulary has tokens");
  AddBias(logits, params);
  ApplyPenalties(logits, params, history, scratch);
  const size_t best = SanitizeAndFindMax(logits);
  const float max = logits[best];

  SampledToken sampled;
  sampled.session = session;
  sampled.position = position;
  sampled.token = static_cast<int32_t>(best);
  if (params.temperature > 0 && max > kMinusInfinity) {
    sampled.token = Draw(kernels, logits, max, params, position, scratch);
  }
  if (params.logprobs >= 0) {
    const double sum = LogSumExp(logits);
    const auto logprob = [sum](float logit) {
      return logit == kMinusInfinity ? kMinusInfinity
                                     : static_cast<float>(static_cast<double>(logit) - sum);
    };
    sampled.logprob = logprob(logits[static_cast<size_t>(sampled.token)]);
    FindLikeliest(logits, std::min<size_t>(static_cast<size_t>(params.logprobs), logits.size()),
                  scratch);
    sampled.top = scratch;
    for (TokenLogprob& top : sampled.top) top.logprob = logprob(top.logprob);
  }
  return sampled;
}

double LogSumExp(std::span<const float> logits) {
  float max = kMinusInfinity;
  for (float logit : logits) max = std::max(max, logit);
  if (max == kMinusInfinity) return -std::numeric_limits<double>::infinity();
  double sum = 0;
  for (float logit : logits) {
    sum += kernels::Exp(static_cast<double>(logit) - static_cast<double>(max));
  }
  return static_cast<double>(max) + kernels::Log(sum);
}

}  // namespace shoal
