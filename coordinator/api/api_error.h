// An error as the API answers it: an HTTP status and OpenAI's error object.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace shoal {

struct ApiError {
  int status = 500;
  std::string message;
  std::string type = "server_error";
  std::string param;         // the field at fault; empty: none
  std::string code;          // empty: none
  bool retry_later = false;  // with a Retry-After header
  std::string allow;         // the Allow header of a 405

  // {"error":{"message","type","param","code"}}
  std::string Json() const;
};

// 400: the request itself is wrong. `param` may be empty.
ApiError BadRequest(std::string param, std::string message, std::string code = "");
ApiError MissingField(const std::string& param);
ApiError NotSupported(std::string param, std::string message);
// 404, code model_not_found.
ApiError ModelNotFound(std::string_view asked, std::string_view served);
// 404, code unknown_url.
ApiError UnknownUrl(std::string_view method, std::string_view path);
// 405; `allow` lists the methods that work.
ApiError MethodNotAllowed(std::string_view method, std::string_view path, std::string allow);
// 503 with Retry-After, code not_ready.
ApiError NotReady(std::string message);
// 401 in OpenAI's words; `shown`: a key was shown, but not a right one.
ApiError WrongApiKey(bool shown);
ApiError NotLocal(const std::string& caller);  // a host or origin that is not this machine
// What a protocol error (timeouts, limits, no HTTP at all) answers.
ApiError ProtocolError(int status, std::string message);
// A request that the engine did not take: kInvalidArgument 400, kResourceExhausted 429, others as
// FromGenerationError.
ApiError FromStartError(const Error& error);
// A request that failed while it ran: kUnavailable and kResourceExhausted (of a node) 503,
// kDeadlineExceeded 504, the rest 500.
ApiError FromGenerationError(const Error& error);

}  // namespace shoal
