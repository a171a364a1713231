#include "partitioner/relay.h"

#include <algorithm>

namespace shoal {

LinkProfile RelayedLink(const LinkProfile& first, const LinkProfile& second) {
  LinkProfile both;
  both.usable = first.usable && second.usable;
  both.latency_s = first.latency_s + second.latency_s;
  const bool known = first.latency_p95_s > 0 && second.latency_p95_s > 0;
  both.latency_p95_s = known ? first.latency_p95_s + second.latency_p95_s : 0;
  both.bytes_per_s = std::min(first.bytes_per_s, second.bytes_per_s);
  both.opener = LinkOpener::kRelay;
  return both;
}

void RelayThroughCoordinator(Cluster& cluster) {
  const int32_t relay = cluster.coordinator();
  for (int32_t from = 0; from < cluster.device_count(); ++from) {
    for (int32_t to = 0; to < cluster.device_count(); ++to) {
      if (from == to || cluster.link(from, to).usable) continue;
      cluster.link(from, to) = RelayedLink(cluster.link(from, relay), cluster.link(relay, to));
    }
  }
}

}  // namespace shoal
