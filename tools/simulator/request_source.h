// Requests of a simulation, one after the other: when they arrive and how large they are. The same
// options and seed give the same requests, whatever the pipeline makes of them: the n-th request
// has the same size in every run.
#pragma once

#include <optional>

#include "tools/simulator/options.h"
#include "tools/simulator/random.h"

namespace shoal {

class RequestSource {
 public:
  // `options` outlive this.
  explicit RequestSource(const SimulationOptions& options);

  // The next request; nothing after the duration or the most requests. Closed clients send at
  // `now_s`; others' times follow on the last one's.
  std::optional<TraceRequest> Next(double now_s);

 private:
  const SimulationOptions& options_;
  Random arrivals_;
  Random tokens_;
  double last_s_ = 0;
  int64_t count_ = 0;
};

int32_t DrawTokens(const TokenDistribution& tokens, Random& random);

}  // namespace shoal
