#include "net/discovery_message.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace shoal {

namespace {

constexpr std::string_view kSeek = "shoal-seek 1 ";
constexpr std::string_view kHere = "shoal-here 1 ";
constexpr std::string_view kAnyMesh = "*";
constexpr size_t kLeastChars = 8;
constexpr size_t kMostChars = 64;

}  // namespace

bool IsMeshId(std::string_view text) {
  return text.size() >= kLeastChars && text.size() <= kMostChars &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); });
}

std::string EncodeDiscovery(const DiscoveryMessage& message) {
  if (message.port != 0) return fmt::format("{}{} {}", kHere, message.mesh_id, message.port);
  return fmt::format("{}{}", kSeek, message.mesh_id.empty() ? kAnyMesh : message.mesh_id);
}

std::optional<DiscoveryMessage> ParseDiscovery(std::string_view bytes) {
  if (bytes.size() > kMaxDiscoveryBytes) return std::nullopt;
  DiscoveryMessage message;
  if (bytes.starts_with(kSeek)) {
    const std::string_view mesh = bytes.substr(kSeek.size());
    if (mesh == kAnyMesh) return message;
    if (!IsMeshId(mesh)) return std::nullopt;
    message.mesh_id = mesh;
    return message;
  }
  if (!bytes.starts_with(kHere)) return std::nullopt;
  const std::string_view rest = bytes.substr(kHere.size());
  const size_t space = rest.find(' ');
  if (space == std::string_view::npos || !IsMeshId(rest.substr(0, space))) return std::nullopt;
  const std::string_view port = rest.substr(space + 1);
  const auto read = std::from_chars(port.data(), port.data() + port.size(), message.port);
  if (read.ec != std::errc() || read.ptr != port.data() + port.size() || message.port == 0 ||
      port.front() == '0') {
    return std::nullopt;
  }
  message.mesh_id = rest.substr(0, space);
  return message;
}

}  // namespace shoal
