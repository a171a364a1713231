// Who may park connections at a hub and relay through it. The signatures are those of the mesh's
// certificates; a tunnel only carries them.
//
// Thread rule: any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "net/tunnel/preamble.h"

namespace shoal {

class TunnelAuthenticator {
 public:
  virtual ~TunnelAuthenticator() = default;
  // The dialling side: proves with this node's key that it wrote `text` (see SignedText).
  virtual Result<std::string> Prove(std::string_view text) const = 0;
  // The hub: that preamble.proof proves `text` to be written by preamble.node of preamble.mesh,
  // which may still take part.
  virtual Status Verify(const TunnelPreamble& preamble, std::string_view text) const = 0;
};

}  // namespace shoal
