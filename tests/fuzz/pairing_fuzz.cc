// What a stranger may send or a user may paste: pairing codes, names in certificates, certificates,
// a roster, the plan of a mesh that served. Never crashes, and what is read is written the same way
// again.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "coordinator/service/mesh_state.h"
#include "coordinator/service/roster.h"
#include "net/identity/pairing_code.h"
#include "net/identity/x509.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace shoal;
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const Result<PairingCode> code = DecodePairingCode(text); code.ok()) {
    const Result<PairingCode> again = DecodePairingCode(EncodePairingCode(*code));
    CHECK(again.ok() && again->secret == code->secret && again->pin == code->pin &&
              again->addresses.size() == code->addresses.size(),
          "a pairing code changed");
  }
  if (const Result<PeerIdentity> peer = ParsePeerIdentity(text); peer.ok()) {
    CHECK(peer->DnsName() == text, "a name changed");
  }
  if (const Result<Roster> roster = RosterFromJson(text); roster.ok()) {
    const std::string written = RosterToJson(*roster);
    const Result<Roster> again = RosterFromJson(written);
    CHECK(again.ok() && RosterToJson(*again) == written, "a roster changed");
  }
  if (const Result<MeshState> state = MeshStateFromJson(text); state.ok()) {
    const std::string written = MeshStateToJson(*state);
    const Result<MeshState> again = MeshStateFromJson(written);
    CHECK(again.ok() && MeshStateToJson(*again) == written, "the state of a mesh changed");
  }
  static_cast<void>(ReadCertificate(text));
  return 0;
}
