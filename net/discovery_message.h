// What is said on the local network so that nodes find their coordinator. Nothing in it is secret,
// and nothing in it is trusted: whoever follows it checks the certificate there.
//
//   shoal-seek 1 MESH        to the group: where is a coordinator of this mesh ("*": of any)?
//   shoal-here 1 MESH PORT   to who asked: at the address that this comes from, on this port
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace shoal {

struct DiscoveryMessage {
  std::string mesh_id;  // 8 to 64 of a-z and 0-9; empty in a question: any mesh
  uint16_t port = 0;    // 0: a question
};
constexpr size_t kMaxDiscoveryBytes = 128;

std::string EncodeDiscovery(const DiscoveryMessage& message);
// None if it is anything else.
std::optional<DiscoveryMessage> ParseDiscovery(std::string_view bytes);
bool IsMeshId(std::string_view text);

}  // namespace shoal
