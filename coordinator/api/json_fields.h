// Reading JSON that a client sent: parsing within limits, and typed access to an object's fields
// that remembers the first thing that was wrong.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "coordinator/api/api_error.h"

namespace shoal {

struct JsonLimits {
  static constexpr int kMaxDepth = 64;
  // Objects keep their keys' order and so look keys up one by one: few keys bound the time.
  static constexpr int kMaxObjectKeys = 1024;
};

// Nothing if `text` is not one JSON value within the limits; `error` then says why. Never throws
// and never recurses deeper than the limit.
std::optional<nlohmann::ordered_json> ParseBoundedJson(std::string_view text, std::string& error);

// Fields of one object. A null counts as absent. Each reader leaves `out` alone if the field is
// absent or an error was met before.
class FieldReader {
 public:
  // `prefix` goes in front of the names in errors ("stream_options.").
  FieldReader(const nlohmann::ordered_json& object, std::string prefix = "")
      : object_(object), prefix_(std::move(prefix)) {}

  // Null if the field is absent or an error was met before.
  const nlohmann::ordered_json* Find(std::string_view key) const;

  void Bool(std::string_view key, bool& out);
  // Inclusive ranges.
  void Int(std::string_view key, int64_t lowest, int64_t highest, int32_t& out);
  void Float(std::string_view key, double lowest, double highest, float& out);
  // Any integer that 64 bits hold, signed or not.
  void Bits64(std::string_view key, std::optional<uint64_t>& out);
  void String(std::string_view key, std::string& out);

  // Keeps the first error only.
  void Fail(ApiError error);
  void FailType(std::string_view key, std::string_view expected);
  bool ok() const { return !error_.has_value(); }
  const std::optional<ApiError>& error() const { return error_; }

 private:
  std::string Name(std::string_view key) const { return prefix_ + std::string(key); }

  const nlohmann::ordered_json& object_;
  std::string prefix_;
  std::optional<ApiError> error_;
};

}  // namespace shoal
