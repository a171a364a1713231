#include "model/transformer/rope.h"

#include <algorithm>
#include <cmath>

#include "kernels/portable_math.h"

namespace shoal {

namespace {

constexpr double kPi = 3.14159265358979323846;

// The pair, as a real number, that turns `rotations` times over the original context.
double CorrectionPair(const RopeConfig& rope, double rotations) {
  return rope.dim * kernels::Log(rope.original_context / (rotations * 2 * kPi)) /
         (2 * kernels::Log(rope.base));
}

// How much of each pair's frequency is kept as trained, the rest being interpolated: 1 for fast
// pairs, 0 for slow ones, a ramp between. Source: YaRN (Peng et al. 2023), with llama.cpp's
// rounding of the ramp's ends.
double KeptShare(const RopeConfig& rope, int32_t pair) {
  const double low = std::max(0.0, std::floor(CorrectionPair(rope, rope.yarn_beta_fast)));
  const double high =
      std::min(rope.dim - 1.0, std::ceil(CorrectionPair(rope, rope.yarn_beta_slow)));
  const double ramp = (pair - low) / std::max(0.001, high - low);
  return (1 - std::clamp(ramp, 0.0, 1.0)) * rope.yarn_ext_factor;
}

// Of each pair; `factors` divide them unless they are empty.
std::vector<double> Frequencies(const RopeConfig& rope, const std::vector<float>& factors) {
  std::vector<double> frequencies;
  for (int32_t i = 0; i < rope.dim / 2; ++i) {
    double trained = kernels::Pow(rope.base, -2.0 * i / rope.dim);
    if (!factors.empty()) trained /= static_cast<double>(factors[static_cast<size_t>(i)]);
    const double interpolated = trained / rope.factor;
    if (rope.scaling == RopeScaling::kYarn) {
      const double kept = KeptShare(rope, i);
      frequencies.push_back(interpolated * (1 - kept) + trained * kept);
    } else {
      frequencies.push_back(interpolated);
    }
  }
  return frequencies;
}

}  // namespace

RopeAngles::RopeAngles(const RopeConfig& config)
    : frequencies_(Frequencies(config, config.frequency_factors)),
      original_context_(config.original_context),
      magnitude_(config.attn_factor) {
  if (!config.long_frequency_factors.empty()) {
    long_frequencies_ = Frequencies(config, config.long_frequency_factors);
  }
  if (config.scaling == RopeScaling::kYarn && config.yarn_ext_factor != 0) {
    magnitude_ *= 1 + 0.1 * kernels::Log(config.factor);
  }
}

void RopeAngles::At(int64_t position, int32_t context_tokens, float* cos, float* sin) const {
  const bool is_long = !long_frequencies_.empty() && context_tokens > original_context_;
  const std::vector<double>& frequencies = is_long ? long_frequencies_ : frequencies_;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double angle = static_cast<double>(position) * frequencies[i];
    cos[i] = static_cast<float>(kernels::Cos(angle) * magnitude_);
    sin[i] = static_cast<float>(kernels::Sin(angle) * magnitude_);
  }
}

}  // namespace shoal
