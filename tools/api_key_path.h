// Where the API keys are in a state folder: written by `shoal keys`, read by `shoal serve`.
#pragma once

#include <string>

namespace shoal {

inline std::string ApiKeyPath(const std::string& state_folder) {
  return state_folder + "/api-keys.json";
}

}  // namespace shoal
