// Runs another program to its end.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace shoal {

// Both of what it prints (stdout and stderr). It reads nothing and is found as the shell would.
// Blocks; `on_wait` is called several times a second, and once `stop` is set the program is ended.
// Errors: kNotFound (cannot be started), kCancelled (`stop`), kUnavailable (it failed: what it said
// last).
Result<std::string> RunProgram(std::vector<std::string> words, const std::function<void()>& on_wait,
                               const std::atomic<bool>& stop);

}  // namespace shoal
