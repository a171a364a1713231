// Files of events, as CSV: one line of names, then one line per event, in order of time. Empty
// lines and lines that begin with # are skipped. Errors name the file, the line and the value;
// files are at most kMaxEventFileBytes long.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tools/simulator/options.h"

namespace shoal {

constexpr int64_t kMaxEventFileBytes = 256 << 20;

// arrival_s,prompt_tokens,output_tokens. At most kMaxRequests.
Result<std::vector<TraceRequest>> ParseTrace(std::string_view text, const std::string& name);
Result<std::vector<TraceRequest>> ReadTrace(const std::string& path);

// time_s,device,event: the event is "down" or "up".
Result<std::vector<ChurnEvent>> ParseChurnEvents(std::string_view text, const std::string& name,
                                                 const Cluster& cluster);
Result<std::vector<ChurnEvent>> ReadChurnEvents(const std::string& path, const Cluster& cluster);

}  // namespace shoal
