// Any datagram is read or refused, and what was read says the same again.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "net/discovery_message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto message = shoal::ParseDiscovery(bytes)) {
    CHECK(shoal::EncodeDiscovery(*message) == bytes, "a message has one form");
  }
  return 0;
}
