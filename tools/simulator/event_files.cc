#include "tools/simulator/event_files.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "tools/simulator/option_parse.h"

namespace shoal {

namespace {

constexpr size_t kMaxShown = 60;  // characters of a bad value in an error

using Fields = std::vector<std::string_view>;

// Calls `take` with the fields of each line after the names; an error gets the line in front.
Status ReadLines(std::string_view text, const std::string& name, std::string_view names,
                 const std::function<Status(const std::string& where, const Fields&)>& take) {
  const size_t columns = SplitText(names, ',').size();
  bool header = true;
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    const std::string where = fmt::format("{}:{}", name, number);
    if (std::exchange(header, false)) {
      if (line == names) continue;
      return InvalidArgument(fmt::format("{}: the first line is '{}': expected '{}'", where,
                                         line.substr(0, kMaxShown), names));
    }
    const Fields fields = SplitText(line, ',');
    if (fields.size() != columns) {
      return InvalidArgument(
          fmt::format("{}: {} fields, expected {} ({})", where, fields.size(), columns, names));
    }
    RETURN_IF_ERROR(take(where, fields));
  }
  if (header) return InvalidArgument(fmt::format("{}: it is empty: expected '{}'", name, names));
  return OkStatus();
}

// A time that does not go back.
Result<double> ParseTime(const std::string& where, const std::string& column, std::string_view text,
                         double before_s) {
  ASSIGN_OR_RETURN(const double time_s,
                   ParseNumber(where + ": " + column, text.substr(0, kMaxShown)));
  if (time_s >= before_s && time_s <= kMaxSeconds) return time_s;
  return InvalidArgument(fmt::format("{}: {} is {}: expected {} (the line before) to {}", where,
                                     column, time_s, before_s, kMaxSeconds));
}

Result<int32_t> ParseTokenCount(const std::string& where, const std::string& column,
                                std::string_view text) {
  ASSIGN_OR_RETURN(const int32_t tokens,
                   ParseCount(where + ": " + column, text.substr(0, kMaxShown)));
  if (tokens >= 1) return tokens;
  return InvalidArgument(fmt::format("{}: {} is {}: expected at least 1", where, column, tokens));
}

Result<std::string> ReadText(const std::string& path) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  if (error) return NotFound(fmt::format("{}: {}", path, error.message()));
  if (bytes > static_cast<uint64_t>(kMaxEventFileBytes)) {
    return ResourceExhausted(
        fmt::format("{}: {} bytes, at most {} are read", path, bytes, kMaxEventFileBytes));
  }
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) return NotFound(path + ": it cannot be read");
  return text;
}

}  // namespace

Result<std::vector<TraceRequest>> ParseTrace(std::string_view text, const std::string& name) {
  std::vector<TraceRequest> trace;
  RETURN_IF_ERROR(ReadLines(
      text, name, "arrival_s,prompt_tokens,output_tokens",
      [&trace](const std::string& where, const Fields& fields) -> Status {
        if (static_cast<int64_t>(trace.size()) >= kMaxRequests) {
          return ResourceExhausted(
              fmt::format("{}: more than {} requests are not read", where, kMaxRequests));
        }
        TraceRequest request;
        const double before_s = trace.empty() ? 0 : trace.back().arrival_s;
        ASSIGN_OR_RETURN(request.arrival_s, ParseTime(where, "arrival_s", fields[0], before_s));
        ASSIGN_OR_RETURN(request.prompt_tokens, ParseTokenCount(where, "prompt_tokens", fields[1]));
        ASSIGN_OR_RETURN(request.output_tokens, ParseTokenCount(where, "output_tokens", fields[2]));
        trace.push_back(request);
        return OkStatus();
      }));
  if (trace.empty()) return InvalidArgument(name + ": there are no requests in it");
  return trace;
}

Result<std::vector<TraceRequest>> ReadTrace(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  return ParseTrace(text, path);
}

Result<std::vector<ChurnEvent>> ParseChurnEvents(std::string_view text, const std::string& name,
                                                 const Cluster& cluster) {
  std::vector<ChurnEvent> events;
  RETURN_IF_ERROR(ReadLines(
      text, name, "time_s,device,event",
      [&](const std::string& where, const Fields& fields) -> Status {
        ChurnEvent event;
        const double before_s = events.empty() ? 0 : events.back().time_s;
        ASSIGN_OR_RETURN(event.time_s, ParseTime(where, "time_s", fields[0], before_s));
        ASSIGN_OR_RETURN(event.device, FindDevice(where, fields[1].substr(0, kMaxShown), cluster));
        event.up = fields[2] == "up";
        if (!event.up && fields[2] != "down") {
          return InvalidArgument(fmt::format("{}: event is '{}': expected down or up", where,
                                             fields[2].substr(0, kMaxShown)));
        }
        events.push_back(event);
        return OkStatus();
      }));
  return events;
}

Result<std::vector<ChurnEvent>> ReadChurnEvents(const std::string& path, const Cluster& cluster) {
  ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  return ParseChurnEvents(text, path, cluster);
}

}  // namespace shoal
