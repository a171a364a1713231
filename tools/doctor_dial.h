// What is at an address, as `shoal doctor` finds out by dialling it.
#pragma once

#include <string>

#include "net/address.h"
#include "tools/doctor_facts.h"

namespace shoal {

// Empty if the name resolves, else why it does not. Blocks as long as the resolver does.
std::string WhyUnresolved(const std::string& host);

// REQUIRES an address of HOST:PORT. Blocks for some seconds at most after the name has been
// resolved.
DoctorFacts::Peer DialPeer(const Address& address);

}  // namespace shoal
