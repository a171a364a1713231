// Where a process logs: one line per event on stderr, over spdlog. No secrets, no prompts.
#pragma once

#include <spdlog/spdlog.h>

#include <string>

#include "base/result.h"

namespace shoal {

// Sets spdlog's default logger to stderr with UTC times and `process_name` on each line. `level` is
// trace, debug, info, warn, error or off. Called once, by main.
Status InitLogging(const std::string& process_name, const std::string& level);

}  // namespace shoal
