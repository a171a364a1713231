#include "tools/simulator/random.h"

#include <cmath>
#include <numbers>

namespace shoal {

namespace {

uint64_t Mixed(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

uint64_t Random::Bits() {
  state_ += 0x9e3779b97f4a7c15;
  return Mixed(state_);
}

double Random::Uniform() { return static_cast<double>((Bits() >> 11) + 1) * 0x1p-53; }

double Random::Exponential(double mean) { return -mean * std::log(Uniform()); }

double Random::Normal() {
  const double radius = std::sqrt(-2 * std::log(Uniform()));
  return radius * std::cos(2 * std::numbers::pi * Uniform());
}

double Random::LognormalFactor(double sigma) { return sigma == 0 ? 1 : std::exp(sigma * Normal()); }

uint64_t DeriveSeed(uint64_t seed, std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return DeriveSeed(seed, hash);
}

uint64_t DeriveSeed(uint64_t seed, uint64_t number) { return Mixed(Mixed(seed) + number); }

}  // namespace shoal
