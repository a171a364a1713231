#include "coordinator/api/api_error.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "coordinator/api/http_limits.h"

namespace shoal {

namespace {

constexpr std::string_view kInvalidRequest = "invalid_request_error";

ApiError InvalidRequest(int status, std::string message, std::string code) {
  ApiError error;
  error.status = status;
  error.message = std::move(message);
  error.type = kInvalidRequest;
  error.code = std::move(code);
  return error;
}

nlohmann::json OrNull(const std::string& text) {
  return text.empty() ? nlohmann::json() : nlohmann::json(text);
}

}  // namespace

std::string ApiError::Json() const {
  nlohmann::ordered_json body = {
      {"error",
       {{"message", message}, {"type", type}, {"param", OrNull(param)}, {"code", OrNull(code)}}}};
  // A stream's head is out when it fails, so its last event says what a header would.
  if (retry_later) body["error"]["retry_after"] = HttpLimits::kRetryAfterS;
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

ApiError BadRequest(std::string param, std::string message, std::string code) {
  ApiError error = InvalidRequest(400, std::move(message), std::move(code));
  error.param = std::move(param);
  return error;
}

ApiError MissingField(const std::string& param) {
  return BadRequest(param, fmt::format("{}: this field is required", param),
                    "missing_required_parameter");
}

ApiError NotSupported(std::string param, std::string message) {
  return BadRequest(std::move(param), std::move(message), "unsupported_parameter");
}

ApiError ModelNotFound(std::string_view asked, std::string_view served) {
  ApiError error = InvalidRequest(
      404, fmt::format("the model '{}' does not exist; this server has '{}'", asked, served),
      "model_not_found");
  error.param = "model";
  return error;
}

ApiError UnknownUrl(std::string_view method, std::string_view path) {
  return InvalidRequest(404, fmt::format("unknown request URL: {} {}", method, path),
                        "unknown_url");
}

ApiError MethodNotAllowed(std::string_view method, std::string_view path, std::string allow) {
  ApiError error =
      InvalidRequest(405, fmt::format("{} is not allowed for {}; use {}", method, path, allow),
                     "method_not_allowed");
  error.allow = std::move(allow);
  return error;
}

ApiError NotReady(std::string message) {
  ApiError error;
  error.status = 503;
  error.message = std::move(message);
  error.code = "not_ready";
  error.retry_later = true;
  return error;
}

ApiError WrongApiKey(bool shown) {
  return InvalidRequest(401,
                        shown ? "the API key is not one of this server's"
                              : "an API key is needed: send the header Authorization: Bearer KEY",
                        "invalid_api_key");
}

ApiError NotLocal(const std::string& caller) {
  return InvalidRequest(403,
                        "without API keys this server answers programs of its own machine only, "
                        "not " +
                            caller.substr(0, 100) + "; 'shoal keys add' makes a key",
                        "not_local");
}

ApiError ProtocolError(int status, std::string message) {
  return InvalidRequest(status, std::move(message), "");
}

ApiError FromStartError(const Error& error) {
  if (error.code == ErrorCode::kInvalidArgument) return BadRequest("", error.message);
  if (error.code != ErrorCode::kResourceExhausted) return FromGenerationError(error);
  ApiError answer;
  answer.status = 429;
  answer.message = error.message;
  answer.type = "rate_limit_error";
  answer.code = "rate_limit_exceeded";
  answer.retry_later = true;
  return answer;
}

ApiError FromGenerationError(const Error& error) {
  if (error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kResourceExhausted) {
    return NotReady(error.message);
  }
  ApiError answer;
  answer.message = error.message;
  if (error.code == ErrorCode::kDeadlineExceeded) {
    answer.status = 504;
    answer.code = "deadline_exceeded";
  }
  return answer;
}

}  // namespace shoal
