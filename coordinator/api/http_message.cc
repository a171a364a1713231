#include "coordinator/api/http_message.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <boost/beast/http/status.hpp>

#include "coordinator/api/http_limits.h"

namespace shoal {

namespace {

std::string StatusLine(int status, const ReplyMode& mode) {
  const auto reason =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  std::string line = fmt::format("HTTP/1.1 {} {}\r\nServer: shoal\r\n", status,
                                 std::string_view(reason.data(), reason.size()));
  if (mode.unix_s > 0) {
    line += fmt::format("Date: {:%a, %d %b %Y %H:%M:%S} GMT\r\n",
                        fmt::gmtime(static_cast<std::time_t>(mode.unix_s)));
  }
  return line;
}

std::string_view ConnectionHeader(const ReplyMode& mode) {
  return mode.keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
}

std::string EncodeChunk(std::string_view bytes, const ReplyMode& mode) {
  return mode.chunked ? fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes) : std::string(bytes);
}

}  // namespace

HttpReply ErrorReply(const ApiError& error) {
  return {error.status, error.Json(), error.retry_later, error.allow};
}

std::string EncodeReply(const HttpReply& reply, const ReplyMode& mode) {
  std::string bytes = StatusLine(reply.status, mode);
  bytes += ConnectionHeader(mode);
  if (!reply.body.empty()) bytes += "Content-Type: application/json\r\n";
  if (reply.status != 204) bytes += fmt::format("Content-Length: {}\r\n", reply.body.size());
  if (!reply.allow.empty()) bytes += fmt::format("Allow: {}\r\n", reply.allow);
  if (reply.status == 401) bytes += "WWW-Authenticate: Bearer\r\n";
  if (reply.retry_later) bytes += fmt::format("Retry-After: {}\r\n", HttpLimits::kRetryAfterS);
  bytes += "\r\n";
  if (!mode.head_only) bytes += reply.body;
  return bytes;
}

std::string EncodeStreamHead(const ReplyMode& mode) {
  std::string bytes = StatusLine(200, mode);
  bytes += ConnectionHeader(mode);
  bytes += "Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n";
  if (mode.chunked) bytes += "Transfer-Encoding: chunked\r\n";
  return bytes + "\r\n";
}

std::string EncodeEvent(std::string_view data, const ReplyMode& mode) {
  return EncodeChunk(fmt::format("data: {}\n\n", data), mode);
}

std::string EncodeComment(std::string_view text, const ReplyMode& mode) {
  return EncodeChunk(fmt::format(": {}\n\n", text), mode);
}

std::string EncodeStreamEnd(const ReplyMode& mode) { return mode.chunked ? "0\r\n\r\n" : ""; }

}  // namespace shoal
