// The certificates that a TLS server shows, before anyone trusts it: how a device that has only a
// pairing code gets to see the mesh's authority.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "net/address.h"

namespace shoal {

constexpr size_t kMaxChain = 4;

// Of what size, to find out which the way carries: kSmall holds both ends to kSmallSegmentBytes in
// a packet, which any way carries; kLarge makes the first message longer than a packet.
enum class Packets { kAsUsual, kSmall, kLarge };
constexpr int kSmallSegmentBytes = 536;
constexpr size_t kLargeMessageBytes = 4000;

// PEM, the server's own first. Nothing is verified. Blocks for at most `timeout_ms` after the name
// has been resolved. Errors name the address: no connection, no TLS 1.3, more than kMaxChain.
Result<std::vector<std::string>> FetchServerChain(const Address& address, int timeout_ms,
                                                  Packets packets = Packets::kAsUsual);

}  // namespace shoal
