// Reading a TOML file whose keys are known: every error names file, line and key, and a number is
// within stated limits, so that NaN and infinity do not pass. Values are read into what the caller
// gives, which stays as it is where the key is missing.
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace shoal {

// Errors: kInvalidArgument, "FILE:LINE: what is wrong".
Result<toml::table> ParseToml(std::string_view text, const std::string& file);

struct NumberRange {
  double least = 0;
  double most = 0;
};

// A view of one table. `table` outlives it.
class TomlTable {
 public:
  // `path` names the table in errors: "device[2]."; empty for the whole file.
  TomlTable(const toml::table& table, std::string file, std::string path);

  // An error if there is a key that is not in `known`.
  Status CheckKeys(std::initializer_list<std::string_view> known) const;
  bool Has(std::string_view key) const { return table_->contains(key); }
  // Names of the keys, sorted.
  std::vector<std::string> Keys() const;

  // The number in the file times `unit`; the range is that of the number in the file.
  Status Read(std::string_view key, NumberRange range, double unit, double& into) const;
  Status Read(std::string_view key, NumberRange range, int64_t& into) const;
  Status Read(std::string_view key, bool& into) const;
  // Text without control characters, at most kMaxText bytes of it, not empty.
  Status Read(std::string_view key, std::string& into) const;
  Status Read(std::string_view key, NumberRange range, double unit,
              std::vector<double>& into) const;
  Status Read(std::string_view key, std::vector<std::string>& into) const;

  // Empty if the key is missing.
  Result<std::vector<TomlTable>> Tables(std::string_view key) const;
  Result<std::optional<TomlTable>> Table(std::string_view key) const;

  // An error of the caller's own about a key, or about the whole table if it has no such key.
  Error ErrorAt(std::string_view key, std::string_view message) const;

 private:
  Result<double> Number(const toml::node& node, std::string_view key, NumberRange range) const;
  Result<std::string> Text(const toml::node& node, std::string_view key) const;
  Result<const toml::array*> Array(std::string_view key) const;
  Error ErrorIn(const toml::node& node, std::string_view key, std::string_view message) const;

  const toml::table* table_;
  std::string file_;
  std::string path_;
};

constexpr size_t kMaxText = 200;
constexpr size_t kMaxArray = 8192;

}  // namespace shoal
