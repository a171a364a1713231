// The text of deploy/device-library.toml.
#pragma once

#include <string_view>

namespace shoal {

extern const std::string_view kDeviceLibraryToml;

}  // namespace shoal
