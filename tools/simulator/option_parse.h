// Reads a simulation's options from text, as they stand on the command line. Every error is
// kInvalidArgument and names the option, what was given and what is expected. Ranges of the values
// themselves are CheckOptions' business.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tools/simulator/options.h"

namespace shoal {

// A finite number, the whole text.
Result<double> ParseNumber(const std::string& option, std::string_view text);
// A whole number within an int32, the whole text.
Result<int32_t> ParseCount(const std::string& option, std::string_view text);
std::vector<std::string_view> SplitText(std::string_view text, char separator);

// "512", "fixed:512", "uniform:100..900", "lognormal:MEDIAN,SIGMA".
Result<TokenDistribution> ParseTokens(const std::string& option, std::string_view text);
// "poisson:RATE_PER_S", "closed:CLIENTS"; else the path of a trace (tools/simulator/event_files.h).
Result<Arrivals> ParseArrivals(const std::string& text);
// "exponential:MTBF_S,MTTR_S"; else the path of a file of events.
Result<Churn> ParseChurn(const std::string& text, const Cluster& cluster);
// "compute:SIGMA", "latency:SIGMA", "latency:measured", or two of them with a comma between.
Result<Jitter> ParseJitter(std::string_view text);
// "DEVICE:FACTOR", "DEVICE:FACTOR@FROM_S..TO_S".
Result<Straggler> ParseStraggler(std::string_view text, const Cluster& cluster);

// Index of the device of this name. Errors: kNotFound (names the option and the device).
Result<int32_t> FindDevice(const std::string& option, std::string_view name,
                           const Cluster& cluster);

}  // namespace shoal
