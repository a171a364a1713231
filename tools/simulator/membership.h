// Which devices are there, and when that changes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tools/simulator/options.h"
#include "tools/simulator/random.h"

namespace shoal {

class DeviceChurn {
 public:
  // `options` outlive this.
  explicit DeviceChurn(const SimulationOptions& options);

  // Events known at the beginning: those given, and each device's first failure.
  std::vector<ChurnEvent> First();
  // Makes the event's change; returns the event that follows on it, if it came by chance.
  std::optional<ChurnEvent> Apply(const ChurnEvent& event);

  bool up(int32_t device) const { return up_[static_cast<size_t>(device)]; }
  std::vector<int32_t> all_up() const;

 private:
  double Draw(int32_t device, double mean_s);

  const SimulationOptions& options_;
  std::vector<bool> up_;
  std::vector<Random> random_;  // of each device its own
};

}  // namespace shoal
