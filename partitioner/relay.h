// What links cost that go by way of the coordinator, which relays between devices that cannot dial
// each other.
//
// Thread rule: pure.
#pragma once

#include "partitioner/cluster.h"

namespace shoal {

// What two links in a row are together: the latencies add up, the slower one sets the bandwidth.
// Not usable if one is not. A p95 that is unknown makes the sum's unknown.
LinkProfile RelayedLink(const LinkProfile& first, const LinkProfile& second);

// Links between devices that are not usable become those by way of the coordinator.
void RelayThroughCoordinator(Cluster& cluster);

}  // namespace shoal
