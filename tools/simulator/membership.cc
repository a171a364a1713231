#include "tools/simulator/membership.h"

namespace shoal {

DeviceChurn::DeviceChurn(const SimulationOptions& options)
    : options_(options), up_(options.problem.cluster.devices.size(), true) {
  const uint64_t seed = DeriveSeed(options.seed, "churn");
  for (size_t device = 0; device < up_.size(); ++device) {
    random_.emplace_back(DeriveSeed(seed, device));
  }
}

double DeviceChurn::Draw(int32_t device, double mean_s) {
  return random_[static_cast<size_t>(device)].Exponential(mean_s);
}

std::vector<ChurnEvent> DeviceChurn::First() {
  std::vector<ChurnEvent> events = options_.churn.events;
  if (options_.churn.mtbf_s == 0) return events;
  for (int32_t device = 0; device < static_cast<int32_t>(up_.size()); ++device) {
    events.push_back({Draw(device, options_.churn.mtbf_s), device, false, true});
  }
  return events;
}

std::optional<ChurnEvent> DeviceChurn::Apply(const ChurnEvent& event) {
  up_[static_cast<size_t>(event.device)] = event.up;
  if (!event.by_chance) return std::nullopt;
  const double mean_s = event.up ? options_.churn.mtbf_s : options_.churn.mttr_s;
  return ChurnEvent{event.time_s + Draw(event.device, mean_s), event.device, !event.up, true};
}

std::vector<int32_t> DeviceChurn::all_up() const {
  std::vector<int32_t> devices;
  for (size_t i = 0; i < up_.size(); ++i) {
    if (up_[i]) devices.push_back(static_cast<int32_t>(i));
  }
  return devices;
}

}  // namespace shoal
