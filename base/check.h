// CHECK: aborts with a message when one of our own invariants is broken. Never used on anything a
// file, a peer, a client or the OS controls: that is a Result's business (base/result.h).
#pragma once

#include <string_view>

namespace shoal {

// Prints "FILE:LINE: CHECK(condition) failed: message" to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              std::string_view message);

}  // namespace shoal

#define CHECK(condition, message)                      \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::shoal::CheckFailed(__FILE__, __LINE__, #condition, (message)))
