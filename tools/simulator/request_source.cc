#include "tools/simulator/request_source.h"

#include <algorithm>
#include <cmath>

#include "model/step/step.h"

namespace shoal {

RequestSource::RequestSource(const SimulationOptions& options)
    : options_(options),
      arrivals_(DeriveSeed(options.seed, "arrivals")),
      tokens_(DeriveSeed(options.seed, "tokens")) {}

std::optional<TraceRequest> RequestSource::Next(double now_s) {
  if (count_ >= options_.max_requests) return std::nullopt;
  const Arrivals& arrivals = options_.arrivals;
  TraceRequest request;
  switch (arrivals.kind) {
    case Arrivals::Kind::kTrace:
      if (static_cast<size_t>(count_) >= arrivals.trace.size()) return std::nullopt;
      request = arrivals.trace[static_cast<size_t>(count_)];
      break;
    case Arrivals::Kind::kPoisson:
      request.arrival_s = last_s_ + arrivals_.Exponential(1 / arrivals.rate_per_s);
      break;
    case Arrivals::Kind::kClosed: request.arrival_s = now_s; break;
  }
  if (request.arrival_s >= options_.duration_s) return std::nullopt;
  if (arrivals.kind != Arrivals::Kind::kTrace) {
    request.prompt_tokens = DrawTokens(options_.prompt_tokens, tokens_);
    request.output_tokens = DrawTokens(options_.output_tokens, tokens_);
  }
  last_s_ = request.arrival_s;
  ++count_;
  return request;
}

int32_t DrawTokens(const TokenDistribution& tokens, Random& random) {
  double drawn = tokens.first;
  if (tokens.kind == TokenDistribution::Kind::kUniform) {
    drawn += std::ceil(random.Uniform() * (tokens.second - tokens.first + 1)) - 1;
  } else if (tokens.kind == TokenDistribution::Kind::kLognormal) {
    drawn *= random.LognormalFactor(tokens.second);
  }
  return static_cast<int32_t>(
      std::clamp<double>(std::round(drawn), 1, StepLimits::kMaxContextTokens));
}

}  // namespace shoal
