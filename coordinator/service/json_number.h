// Whole numbers from JSON that was read from a file.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

namespace shoal {

// Throws nlohmann::json::type_error for anything else, as get<int64_t>() does for what is no
// number; but that takes a number beyond its range, with any result.
inline int64_t WholeNumber(const nlohmann::json& json) {
  return json.get_ref<const nlohmann::json::number_integer_t&>();
}

}  // namespace shoal
