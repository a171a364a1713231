#include "coordinator/api/json_fields.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

namespace shoal {

namespace {

using Json = nlohmann::ordered_json;

// Walks the text once, strings skipped, and counts open brackets and the commas of each object:
// what the parser would have to build. Says nothing about whether the text is valid.
std::optional<std::string> BrokenLimit(std::string_view text) {
  struct Level {
    bool object;
    int commas;
  };
  std::vector<Level> levels;
  for (size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
      case '"':
        for (++i; i < text.size() && text[i] != '"'; ++i) {
          if (text[i] == '\\') ++i;
        }
        break;
      case '{':
      case '[':
        if (levels.size() >= JsonLimits::kMaxDepth) {
          return fmt::format("nested deeper than {} levels", JsonLimits::kMaxDepth);
        }
        levels.push_back({text[i] == '{', 0});
        break;
      case '}':
      case ']':
        if (!levels.empty()) levels.pop_back();
        break;
      case ',':
        if (!levels.empty() && levels.back().object &&
            ++levels.back().commas >= JsonLimits::kMaxObjectKeys) {
          return fmt::format("an object has more than {} keys", JsonLimits::kMaxObjectKeys);
        }
        break;
      default: break;
    }
  }
  return std::nullopt;
}

// "[json.exception.parse_error.101] parse error at line 1, column 2: ..." without the bracket, and
// short: it may quote what the client sent.
std::string ShortReason(std::string_view what) {
  constexpr size_t kMaxReasonBytes = 200;
  const size_t bracket = what.find("] ");
  if (bracket != std::string_view::npos) what.remove_prefix(bracket + 2);
  return std::string(what.substr(0, kMaxReasonBytes));
}

}  // namespace

std::optional<Json> ParseBoundedJson(std::string_view text, std::string& error) {
  if (std::optional<std::string> broken = BrokenLimit(text)) {
    error = std::move(*broken);
    return std::nullopt;
  }
  try {
    return Json::parse(text);
  } catch (const Json::exception& exception) {
    error = ShortReason(exception.what());
    return std::nullopt;
  }
}

const Json* FieldReader::Find(std::string_view key) const {
  if (error_) return nullptr;
  const auto it = object_.find(key);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

void FieldReader::Bool(std::string_view key, bool& out) {
  const Json* field = Find(key);
  if (field == nullptr) return;
  if (!field->is_boolean()) return FailType(key, "a boolean");
  out = field->get<bool>();
}

void FieldReader::Int(std::string_view key, int64_t lowest, int64_t highest, int32_t& out) {
  const Json* field = Find(key);
  if (field == nullptr) return;
  if (!field->is_number_integer()) return FailType(key, "an integer");
  const bool too_large = field->is_number_unsigned() && field->get<uint64_t>() > INT64_MAX;
  const int64_t value = too_large ? INT64_MAX : field->get<int64_t>();
  if (value < lowest || value > highest) {
    return Fail(BadRequest(Name(key), fmt::format("{}: {} is not in [{}, {}]", Name(key),
                                                  field->dump(), lowest, highest)));
  }
  out = static_cast<int32_t>(value);
}

void FieldReader::Float(std::string_view key, double lowest, double highest, float& out) {
  const Json* field = Find(key);
  if (field == nullptr) return;
  if (!field->is_number()) return FailType(key, "a number");
  const auto value = field->get<double>();
  if (!(value >= lowest && value <= highest)) {
    return Fail(BadRequest(Name(key), fmt::format("{}: {} is not in [{}, {}]", Name(key),
                                                  field->dump(), lowest, highest)));
  }
  out = static_cast<float>(value);
}

void FieldReader::Bits64(std::string_view key, std::optional<uint64_t>& out) {
  const Json* field = Find(key);
  if (field == nullptr) return;
  if (!field->is_number_integer()) return FailType(key, "an integer");
  out = field->is_number_unsigned() ? field->get<uint64_t>()
                                    : static_cast<uint64_t>(field->get<int64_t>());
}

void FieldReader::String(std::string_view key, std::string& out) {
  const Json* field = Find(key);
  if (field == nullptr) return;
  if (!field->is_string()) return FailType(key, "a string");
  out = field->get<std::string>();
}

void FieldReader::Fail(ApiError error) {
  if (!error_) error_ = std::move(error);
}

void FieldReader::FailType(std::string_view key, std::string_view expected) {
  if (error_) return;
  const auto it = object_.find(key);
  const std::string_view found = it == object_.end() ? "nothing" : it->type_name();
  Fail(BadRequest(Name(key), fmt::format("{}: expected {}, got {}", Name(key), expected, found)));
}

}  // namespace shoal
