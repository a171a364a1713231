// Result<T>: a value or an Error, for every failure whose cause lies outside the program (a file, a
// peer, a client, the OS). A broken invariant of our own is CHECKed instead (base/check.h).
//
// Messages carry the two values that disagree, e.g.
//   "blk.3.attn_k.weight: expected shape [576, 192], the file has [576, 576]".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace shoal {

enum class ErrorCode {
  kInvalidArgument,     // the caller's input is wrong, whatever the state
  kNotFound,            // a named thing does not exist
  kFailedPrecondition,  // right input, wrong state (another epoch, not loaded yet)
  kResourceExhausted,   // a named limit or quota is reached
  kUnimplemented,       // well-formed, but not supported by this build
  kUnavailable,         // a peer is gone or not ready; trying again later may work
  kDeadlineExceeded,    // no answer within the stated time; the call may have run
  kCancelled,           // the caller gave up
  kDataLoss,            // stored or received bytes are damaged
  kInternal,            // third-party code failed in a way it should not
};

// "invalid argument", "not found", ...
std::string_view ErrorCodeName(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;

  // The same error with "context: " in front of the message.
  Error WithContext(std::string_view context) const;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // REQUIRES ok().
  T& value() & {
    CHECK(ok(), error_message());
    return std::get<0>(state_);
  }
  const T& value() const& {
    CHECK(ok(), error_message());
    return std::get<0>(state_);
  }
  T&& value() && {
    CHECK(ok(), error_message());
    return std::get<0>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // REQUIRES !ok().
  const Error& error() const {
    CHECK(!ok(), "error() of a Result that holds a value");
    return std::get<1>(state_);
  }

 private:
  std::string_view error_message() const {
    return ok() ? std::string_view() : std::string_view(std::get<1>(state_).message);
  }
  std::variant<T, Error> state_;
};

// Success, or an Error.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  // REQUIRES !ok().
  const Error& error() const {
    CHECK(error_.has_value(), "error() of a Status that is ok");
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

inline Status OkStatus() { return {}; }

inline Error InvalidArgument(std::string message) {
  return {ErrorCode::kInvalidArgument, std::move(message)};
}
inline Error NotFound(std::string message) { return {ErrorCode::kNotFound, std::move(message)}; }
inline Error FailedPrecondition(std::string message) {
  return {ErrorCode::kFailedPrecondition, std::move(message)};
}
inline Error ResourceExhausted(std::string message) {
  return {ErrorCode::kResourceExhausted, std::move(message)};
}
inline Error Unimplemented(std::string message) {
  return {ErrorCode::kUnimplemented, std::move(message)};
}
inline Error Unavailable(std::string message) {
  return {ErrorCode::kUnavailable, std::move(message)};
}
inline Error DeadlineExceeded(std::string message) {
  return {ErrorCode::kDeadlineExceeded, std::move(message)};
}
inline Error Cancelled(std::string message) { return {ErrorCode::kCancelled, std::move(message)}; }
inline Error DataLoss(std::string message) { return {ErrorCode::kDataLoss, std::move(message)}; }
inline Error InternalError(std::string message) {
  return {ErrorCode::kInternal, std::move(message)};
}

}  // namespace shoal

#define SHOAL_CONCAT_INNER(a, b) a##b
#define SHOAL_CONCAT(a, b) SHOAL_CONCAT_INNER(a, b)

// Returns the error of `expr` (a Status or Result) from the enclosing function, if it has one.
#define RETURN_IF_ERROR(expr)                            \
  do {                                                   \
    auto shoal_status = (expr);                          \
    if (!shoal_status.ok()) return shoal_status.error(); \
  } while (false)

// `ASSIGN_OR_RETURN(auto x, MakeX());` declares x, or returns MakeX()'s error.
#define ASSIGN_OR_RETURN(decl, expr) \
  ASSIGN_OR_RETURN_IMPL(SHOAL_CONCAT(shoal_result_, __LINE__), decl, expr)
#define ASSIGN_OR_RETURN_IMPL(tmp, decl, expr) \
  auto tmp = (expr);                           \
  if (!tmp.ok()) return tmp.error();           \
  decl = std::move(tmp).value()
