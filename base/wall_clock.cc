#include "base/wall_clock.h"

#include <chrono>
#include <ctime>

namespace shoal {

int64_t UnixNowS() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

CivilDate LocalToday() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  constexpr int kTmYearZero = 1900;
  return {local.tm_year + kTmYearZero, local.tm_mon + 1, local.tm_mday};
}

}  // namespace shoal
