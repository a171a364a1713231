#include "base/scheduling.h"

#include <sched.h>

namespace shoal {

void UseBatchScheduling() {
  const sched_param priority{};
  static_cast<void>(::sched_setscheduler(0, SCHED_BATCH, &priority));
}

}  // namespace shoal
