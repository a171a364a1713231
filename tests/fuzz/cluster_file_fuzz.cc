// Any bytes as a cluster file: refused with an error that names the file, or a cluster that passes
// CheckCluster and reads the same after it was written.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "tools/cluster_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto file = shoal::ParseClusterFile(text, "fuzz.toml");
  if (!file.ok()) {
    CHECK(file.error().message.starts_with("fuzz.toml"), file.error().message);
    return 0;
  }
  CHECK(shoal::CheckCluster(file->cluster).ok(), "what was read is a cluster");
  constexpr int32_t kFew = 8;  // the text grows with the square
  if (file->cluster.device_count() > kFew) return 0;
  const std::string written = shoal::WriteCluster(file->cluster, file->title);
  const auto again = shoal::ParseClusterFile(written, "again.toml");
  CHECK(again.ok(), again.ok() ? std::string() : again.error().message);
  CHECK(again->cluster.device_count() == file->cluster.device_count(), "with the same devices");
  return 0;
}
