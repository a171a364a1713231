#include "tools/simulator/option_parse.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <utility>

#include "tools/simulator/event_files.h"

namespace shoal {

namespace {

Error Expected(const std::string& option, std::string_view text, std::string_view expected) {
  return InvalidArgument(fmt::format("{} is '{}': expected {}", option, text, expected));
}

// What stands before and after the first `separator`; nothing if there is none.
std::optional<std::pair<std::string_view, std::string_view>> Cut(std::string_view text,
                                                                 std::string_view separator) {
  const size_t at = text.find(separator);
  if (at == text.npos) return std::nullopt;
  return std::pair(text.substr(0, at), text.substr(at + separator.size()));
}

Result<std::pair<double, double>> ParsePair(const std::string& option, std::string_view text,
                                            std::string_view separator) {
  const auto parts = Cut(text, separator);
  if (!parts)
    return Expected(option, text, fmt::format("two numbers with '{}' between", separator));
  ASSIGN_OR_RETURN(const double first, ParseNumber(option, parts->first));
  ASSIGN_OR_RETURN(const double second, ParseNumber(option, parts->second));
  return std::pair(first, second);
}

}  // namespace

Result<double> ParseNumber(const std::string& option, std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return Expected(option, text, "a finite number");
  }
  return value;
}

Result<int32_t> ParseCount(const std::string& option, std::string_view text) {
  int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Expected(option, text, "a whole number below 2^31");
  }
  return value;
}

std::vector<std::string_view> SplitText(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

Result<TokenDistribution> ParseTokens(const std::string& option, std::string_view text) {
  TokenDistribution tokens;
  const auto parts = Cut(text, ":").value_or(std::pair("fixed", text));
  if (parts.first == "fixed") {
    ASSIGN_OR_RETURN(tokens.first, ParseCount(option, parts.second));
    return tokens;
  }
  if (parts.first == "uniform") {
    tokens.kind = TokenDistribution::Kind::kUniform;
    const auto range = Cut(parts.second, "..");
    if (!range) return Expected(option, text, "uniform:LEAST..MOST");
    ASSIGN_OR_RETURN(tokens.first, ParseCount(option, range->first));
    ASSIGN_OR_RETURN(tokens.second, ParseCount(option, range->second));
    return tokens;
  }
  if (parts.first == "lognormal") {
    tokens.kind = TokenDistribution::Kind::kLognormal;
    ASSIGN_OR_RETURN(std::tie(tokens.first, tokens.second), ParsePair(option, parts.second, ","));
    return tokens;
  }
  return Expected(option, text, "N, uniform:LEAST..MOST or lognormal:MEDIAN,SIGMA");
}

Result<Arrivals> ParseArrivals(const std::string& text) {
  const std::string option = "arrivals";
  Arrivals arrivals;
  const auto parts = Cut(text, ":");
  if (parts && parts->first == "poisson") {
    ASSIGN_OR_RETURN(arrivals.rate_per_s, ParseNumber(option, parts->second));
    return arrivals;
  }
  if (parts && parts->first == "closed") {
    arrivals.kind = Arrivals::Kind::kClosed;
    ASSIGN_OR_RETURN(arrivals.clients, ParseCount(option, parts->second));
    return arrivals;
  }
  arrivals.kind = Arrivals::Kind::kTrace;
  Result<std::vector<TraceRequest>> trace = ReadTrace(text);
  if (!trace.ok()) {
    return trace.error().WithContext("arrivals (poisson:RATE, closed:CLIENTS or a trace)");
  }
  arrivals.trace = std::move(*trace);
  return arrivals;
}

Result<Churn> ParseChurn(const std::string& text, const Cluster& cluster) {
  Churn churn;
  const auto parts = Cut(text, ":");
  if (parts && parts->first == "exponential") {
    ASSIGN_OR_RETURN(std::tie(churn.mtbf_s, churn.mttr_s), ParsePair("churn", parts->second, ","));
    if (churn.mtbf_s == 0) return Expected("churn", text, "a mean time to failure above 0");
    return churn;
  }
  Result<std::vector<ChurnEvent>> events = ReadChurnEvents(text, cluster);
  if (!events.ok()) {
    return events.error().WithContext("churn (exponential:MTBF_S,MTTR_S or a file of events)");
  }
  churn.events = std::move(*events);
  return churn;
}

Result<Jitter> ParseJitter(std::string_view text) {
  const std::string option = "jitter";
  Jitter jitter;
  for (const std::string_view part : SplitText(text, ',')) {
    const auto named = Cut(part, ":");
    if (part == "latency:measured") {
      jitter.latency_measured = true;
    } else if (named && named->first == "compute") {
      ASSIGN_OR_RETURN(jitter.compute_sigma, ParseNumber(option, named->second));
    } else if (named && named->first == "latency") {
      ASSIGN_OR_RETURN(jitter.latency_sigma, ParseNumber(option, named->second));
    } else {
      return Expected(option, text, "compute:SIGMA, latency:SIGMA or latency:measured");
    }
  }
  return jitter;
}

Result<Straggler> ParseStraggler(std::string_view text, const Cluster& cluster) {
  const std::string option = "straggler";
  const auto named = Cut(text, ":");
  if (!named) return Expected(option, text, "DEVICE:FACTOR or DEVICE:FACTOR@FROM_S..TO_S");
  Straggler straggler;
  ASSIGN_OR_RETURN(straggler.device, FindDevice(option, named->first, cluster));
  const auto timed = Cut(named->second, "@");
  ASSIGN_OR_RETURN(straggler.factor, ParseNumber(option, timed ? timed->first : named->second));
  if (!timed) return straggler;
  ASSIGN_OR_RETURN(std::tie(straggler.from_s, straggler.to_s),
                   ParsePair(option, timed->second, ".."));
  return straggler;
}

Result<int32_t> FindDevice(const std::string& option, std::string_view name,
                           const Cluster& cluster) {
  for (int32_t i = 0; i < cluster.device_count(); ++i) {
    if (cluster.devices[static_cast<size_t>(i)].name == name) return i;
  }
  return NotFound(fmt::format("{}: the cluster has no device '{}'", option, name));
}

}  // namespace shoal
