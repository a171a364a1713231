#include "tools/toml_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace shoal {

Result<toml::table> ParseToml(std::string_view text, const std::string& file) {
  toml::parse_result parsed = toml::parse(text);
  if (parsed.failed()) {
    return InvalidArgument(fmt::format("{}:{}: {}", file, parsed.error().source().begin.line,
                                       parsed.error().description()));
  }
  return std::move(parsed).table();
}

TomlTable::TomlTable(const toml::table& table, std::string file, std::string path)
    : table_(&table), file_(std::move(file)), path_(std::move(path)) {}

Error TomlTable::ErrorIn(const toml::node& node, std::string_view key,
                         std::string_view message) const {
  return InvalidArgument(
      fmt::format("{}:{}: {}{}: {}", file_, node.source().begin.line, path_, key, message));
}

Error TomlTable::ErrorAt(std::string_view key, std::string_view message) const {
  const toml::node* node = table_->get(key);
  return ErrorIn(node == nullptr ? static_cast<const toml::node&>(*table_) : *node, key, message);
}

Status TomlTable::CheckKeys(std::initializer_list<std::string_view> known) const {
  for (const auto& [key, node] : *table_) {
    if (std::find(known.begin(), known.end(), key.str()) != known.end()) continue;
    return ErrorIn(node, key.str(),
                   fmt::format("unknown key; known are {}", fmt::join(known, ", ")));
  }
  return OkStatus();
}

std::vector<std::string> TomlTable::Keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, node] : *table_) keys.emplace_back(key.str());
  std::sort(keys.begin(), keys.end());
  return keys;
}

Result<double> TomlTable::Number(const toml::node& node, std::string_view key,
                                 NumberRange range) const {
  const std::optional<double> value =
      node.is_number() ? node.value<double>() : std::optional<double>();
  if (!value) return ErrorIn(node, key, "expected a number");
  if (*value >= range.least && *value <= range.most) return *value;
  return ErrorIn(node, key,
                 fmt::format("{:g} is outside [{:g}, {:g}]", *value, range.least, range.most));
}

Result<std::string> TomlTable::Text(const toml::node& node, std::string_view key) const {
  const std::optional<std::string> value = node.value_exact<std::string>();
  if (!value) return ErrorIn(node, key, "expected a string");
  const bool harmless = std::none_of(value->begin(), value->end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (value->empty() || value->size() > kMaxText || !harmless) {
    return ErrorIn(node, key,
                   fmt::format("expected 1 to {} characters, no control characters", kMaxText));
  }
  return *value;
}

Status TomlTable::Read(std::string_view key, NumberRange range, double unit, double& into) const {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return OkStatus();
  ASSIGN_OR_RETURN(const double value, Number(*node, key, range));
  into = value * unit;
  return OkStatus();
}

Status TomlTable::Read(std::string_view key, NumberRange range, int64_t& into) const {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return OkStatus();
  if (!node->is_integer()) return ErrorIn(*node, key, "expected a whole number");
  ASSIGN_OR_RETURN(const double value, Number(*node, key, range));
  into = static_cast<int64_t>(value);
  return OkStatus();
}

Status TomlTable::Read(std::string_view key, bool& into) const {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return OkStatus();
  const std::optional<bool> value = node->value_exact<bool>();
  if (!value) return ErrorIn(*node, key, "expected true or false");
  into = *value;
  return OkStatus();
}

Status TomlTable::Read(std::string_view key, std::string& into) const {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return OkStatus();
  ASSIGN_OR_RETURN(into, Text(*node, key));
  return OkStatus();
}

Result<const toml::array*> TomlTable::Array(std::string_view key) const {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return nullptr;
  const toml::array* array = node->as_array();
  if (array == nullptr) return ErrorIn(*node, key, "expected an array");
  if (array->size() > kMaxArray) {
    return ErrorIn(*node, key,
                   fmt::format("{} elements are more than {}", array->size(), kMaxArray));
  }
  return array;
}

Status TomlTable::Read(std::string_view key, NumberRange range, double unit,
                       std::vector<double>& into) const {
  ASSIGN_OR_RETURN(const toml::array* const array, Array(key));
  if (array == nullptr) return OkStatus();
  into.clear();
  for (const toml::node& node : *array) {
    ASSIGN_OR_RETURN(const double value, Number(node, key, range));
    into.push_back(value * unit);
  }
  return OkStatus();
}

Status TomlTable::Read(std::string_view key, std::vector<std::string>& into) const {
  ASSIGN_OR_RETURN(const toml::array* const array, Array(key));
  if (array == nullptr) return OkStatus();
  into.clear();
  for (const toml::node& node : *array) {
    ASSIGN_OR_RETURN(std::string value, Text(node, key));
    into.push_back(std::move(value));
  }
  return OkStatus();
}

Result<std::vector<TomlTable>> TomlTable::Tables(std::string_view key) const {
  std::vector<TomlTable> tables;
  ASSIGN_OR_RETURN(const toml::array* const array, Array(key));
  if (array == nullptr) return tables;
  for (const toml::node& node : *array) {
    const toml::table* table = node.as_table();
    if (table == nullptr) return ErrorIn(node, key, "expected a table");
    tables.emplace_back(*table, file_, fmt::format("{}{}[{}].", path_, key, tables.size()));
  }
  return tables;
}

Result<std::optional<TomlTable>> TomlTable::Table(std::string_view key) const {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return std::optional<TomlTable>();
  const toml::table* table = node->as_table();
  if (table == nullptr) return ErrorIn(*node, key, "expected a table");
  return std::optional<TomlTable>(TomlTable(*table, file_, fmt::format("{}{}.", path_, key)));
}

}  // namespace shoal
