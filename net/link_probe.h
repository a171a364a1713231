// How fast a link is: small messages there and back, then as many large ones as it takes to see
// its bandwidth each way, over the channel settings and the kind of stream that the pipeline uses
// (Pipeline.Probe). Bounded in bytes and time, so that it does not flood a link.
//
// Thread rule: a ProbeServer is safe from any thread; ProbeLink blocks its caller.
#pragma once

#include <grpcpp/server_context.h>

#include <cstdint>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "net/address.h"
#include "net/identity/credentials.h"
#include "proto/pipeline.grpc.pb.h"

namespace shoal {

// Limits of one probe. Payload of both directions together, with kProbeMessageBytes for each
// message whatever it holds.
constexpr int64_t kProbeBudgetBytes = int64_t{32} << 20;
constexpr int64_t kServingProbeBudgetBytes = int64_t{64} << 10;  // round trips only
constexpr int32_t kProbePayloadBytes = 64 << 10;                 // the most in one message
constexpr int32_t kProbeMessageBytes = 64;
constexpr int32_t kMaxProbeReplies = 1024;  // to one message
constexpr int kProbeTimeoutMs = 10'000;
constexpr int kProbeTurnMs = 2000;  // that a probe waits for the one before

struct LinkMeasurement {
  double round_trip_s = 0;  // median of a small message
  double round_trip_p95_s = 0;
  double send_bytes_per_s = 0;     // to the dialled side; 0: not measured
  double receive_bytes_per_s = 0;  // from it; 0: not measured
};

// The node that is dialled.
struct ProbeTarget {
  std::string name;  // for error messages
  Address address;
  Trust trust;
  uint64_t instance = 0;  // what must answer there: DescribeReply.instance
};

// Takes less than a second on a link worth using, kProbeTimeoutMs at most. Bandwidth is 0 if the
// other side serves and granted no more than round trips. Errors name the target: not reachable,
// another node, refused, too slow.
Result<LinkMeasurement> ProbeLink(const ProbeTarget& target, const Clock& clock);

using ProbeServerStream = grpc::ServerReaderWriter<v1::ProbeMessage, v1::ProbeMessage>;

// The side that answers: one probe at a time.
class ProbeServer {
 public:
  explicit ProbeServer(uint64_t instance) : instance_(instance) {}

  uint64_t instance() const { return instance_; }
  // Serves one stream until it ends. Refuses what exceeds the limits or `budget_bytes`.
  grpc::Status Serve(grpc::ServerContext& context, ProbeServerStream& stream, int64_t budget_bytes);

 private:
  const uint64_t instance_;
  std::timed_mutex turn_;  // held by the probe that is served
};

}  // namespace shoal
