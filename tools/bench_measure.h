// Runs what `shoal bench` measures.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "tools/bench_report.h"
#include "tools/model_session.h"

namespace shoal {

struct BenchPlan {
  SessionOptions session;  // threads and sessions come from the lists
  std::vector<int> threads;
  std::vector<int32_t> prompt_tokens;  // each is a prefill of one session; 0: none
  std::vector<int32_t> decode_tokens;  // each is a decode for each of `sessions`; 0: none
  std::vector<int32_t> sessions;
  int rounds = 3;  // after one that warms up; cases take turns, so that noise is spread evenly
};

// Blocks until all is measured; `progress` gets lines to show meanwhile. The sessions decode one
// token each per step, after a prompt of one token. Errors: those of ModelSession.
Result<BenchReport> MeasureBench(const BenchPlan& plan,
                                 const std::function<void(const std::string&)>& progress);

}  // namespace shoal
