#include "tools/user_activity.h"

#include <systemd/sd-bus.h>

namespace shoal {

std::optional<bool> IsUserActive() {
  constexpr uint64_t kTimeoutUs = 1'000'000;
  sd_bus* bus = nullptr;
  int idle = 0;
  int failed = sd_bus_open_system(&bus);
  if (failed >= 0) failed = sd_bus_set_method_call_timeout(bus, kTimeoutUs);
  if (failed >= 0) {
    failed = sd_bus_get_property_trivial(bus, "org.freedesktop.login1", "/org/freedesktop/login1",
                                         "org.freedesktop.login1.Manager", "IdleHint", nullptr, 'b',
                                         &idle);
  }
  sd_bus_flush_close_unref(bus);
  return failed >= 0 ? std::optional(idle == 0) : std::nullopt;
}

}  // namespace shoal
