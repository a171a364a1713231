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

}  // namespace

RopeAngles::RopeAngles(const RopeConfig& config) {
  const int32_t pairs = config.dim / 2;
  frequencies_.reserve(static_cast<size_t>(pairs));
  for (int32_t i = 0; i < pairs; ++i) {
    double trained = kernels::Pow(config.base, -2.0 * i / config.dim);
    if (!config.frequency_factors.empty()) {
      trained /= static_cast<double>(config.frequency_factors[static_cast<size_t>(i)]);
    }
    const double interpolated = trained / config.factor;
    if (config.scaling == RopeScaling::kYarn) {
      const double kept = KeptShare(config, i);
      frequencies_.push_back(interpolated * (1 - kept) + trained * kept);
    } else {
      frequencies_.push_back(interpolated);
    }
  }
  if (config.scaling == RopeScaling::kYarn) {
    magnitude_ = config.yarn_attn_factor;
    if (config.yarn_ext_factor != 0) magnitude_ *= 1 + 0.1 * kernels::Log(config.factor);
  }
}

void RopeAngles::At(int64_t position, float* cos, float* sin) const {
  for (size_t i = 0; i < frequencies_.size(); ++i) {
    const double angle = static_cast<double>(position) * frequencies_[i];
    cos[i] = static_cast<float>(kernels::Cos(angle) * magnitude_);
    sin[i] = static_cast<float>(kernels::Sin(angle) * magnitude_);
  }
}

}  // namespace shoal
