// The certificates that a TLS server shows, before anyone trusts it: how a device that has only a
// pairing code gets to see the mesh's authority.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "net/address.h"

namespace shoal {

constexpr size_t kMaxChain = 4;

// PEM, the server's own first. Nothing is verified. Blocks for at most `timeout_ms` after the name
// has been resolved. Errors name the address: no connection, no TLS 1.3, more than kMaxChain.
// `padding`: bytes by which the first message is longer than need be; one that takes several
// packets shows whether the way carries large ones.
Result<std::vector<std::string>> FetchServerChain(const Address& address, int timeout_ms,
                                                  size_t padding = 0);

}  // namespace shoal
