// JSON to and from template values: contexts, `tojson` as Python's json.dumps, `from_json`.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/text/jinja_heap.h"
#include "model/text/jinja_value.h"

namespace shoal::jinja {

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // of one level; everything on one line without
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
// Fails for what JSON cannot hold.
Result<std::string> ToJson(Heap& heap, const Value& value, const JsonStyle& style);

// JSON text, integers of up to 128 bits included.
Result<Value> FromJson(Heap& heap, std::string_view text);
Result<Value> FromJson(Heap& heap, const nlohmann::ordered_json& json);

}  // namespace shoal::jinja
