// Seeded random numbers of the simulator. The same seed gives the same numbers with every compiler
// and standard library, which std's distributions do not promise.
#pragma once

#include <cstdint>
#include <string_view>

namespace shoal {

// Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014 (SplitMix64).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Bits();
  double Uniform();                      // in (0, 1]
  double Exponential(double mean);       // >= 0
  double Normal();                       // mean 0, deviation 1; Box and Muller 1958
  double LognormalFactor(double sigma);  // median 1; exactly 1 for sigma 0, and nothing is drawn

 private:
  uint64_t state_;
};

// Seeds of independent streams: by name, and by number.
uint64_t DeriveSeed(uint64_t seed, std::string_view name);
uint64_t DeriveSeed(uint64_t seed, uint64_t number);

}  // namespace shoal
