// Reads a model's own metadata, "<architecture>.<key>", and checks the ranges of values.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "model/gguf/gguf_file.h"

namespace shoal {

// `file` outlives it.
class KeyReader {
 public:
  KeyReader(const GgufFile& file, std::string architecture)
      : file_(file), architecture_(std::move(architecture)) {}

  const GgufFile& file() const { return file_; }
  std::string Key(std::string_view suffix) const {
    return fmt::format("{}.{}", architecture_, suffix);
  }
  bool Has(std::string_view suffix) const { return file_.Has(Key(suffix)); }

  // A whole number in [min, max].
  Result<int32_t> Int(std::string_view suffix, int64_t min, int64_t max) const {
    const std::string key = Key(suffix);
    ASSIGN_OR_RETURN(const int64_t value, file_.Int(key));
    if (value < min || value > max) return OutOfRange(key, min, max, value);
    return static_cast<int32_t>(value);
  }
  Result<int32_t> IntOr(std::string_view suffix, int32_t fallback, int64_t min, int64_t max) const {
    if (!Has(suffix)) return fallback;
    return Int(suffix, min, max);
  }

  // A finite number in [min, max].
  Result<double> Float(std::string_view suffix, double min, double max) const {
    const std::string key = Key(suffix);
    ASSIGN_OR_RETURN(const double value, file_.Float(key));
    if (!(value >= min && value <= max)) return OutOfRange(key, min, max, value);
    return value;
  }
  Result<double> FloatOr(std::string_view suffix, double fallback, double min, double max) const {
    if (!Has(suffix)) return fallback;
    return Float(suffix, min, max);
  }

 private:
  template <typename T>
  static Error OutOfRange(const std::string& key, T min, T max, T value) {
    return InvalidArgument(
        fmt::format("{}: expected {} to {}, the file has {}", key, min, max, value));
  }

  const GgufFile& file_;
  std::string architecture_;
};

}  // namespace shoal
