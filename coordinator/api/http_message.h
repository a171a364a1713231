// HTTP/1.1 on the way out, as bytes: whole replies and event streams. Reading requests is Beast's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "coordinator/api/api_error.h"

namespace shoal {

struct HttpReply {
  int status = 200;
  std::string body;  // JSON; empty: none
  bool retry_later = false;
  std::string allow;  // the Allow header; empty: none
};
HttpReply ErrorReply(const ApiError& error);

// How one reply goes out.
struct ReplyMode {
  bool keep_alive = true;
  bool head_only = false;  // the request was a HEAD: all headers, no body
  int64_t unix_s = 0;      // now, for the Date header; 0: without
  bool chunked = true;     // a stream to HTTP/1.1; HTTP/1.0 ends at the close of the connection
};

std::string EncodeReply(const HttpReply& reply, const ReplyMode& mode);

// An event stream: the head, then events and comments, then the end.
std::string EncodeStreamHead(const ReplyMode& mode);
std::string EncodeEvent(std::string_view data, const ReplyMode& mode);  // `data` has no newline
std::string EncodeComment(std::string_view text, const ReplyMode& mode);
std::string EncodeStreamEnd(const ReplyMode& mode);

}  // namespace shoal
