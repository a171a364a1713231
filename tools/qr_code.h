// A QR code as text, for cameras to read off a terminal.
#pragma once

#include <string>

namespace shoal {

// Lines of UTF-8 half blocks with the quiet zone that readers need, dark on light whatever the
// terminal's colours; empty if `text` is too long for one.
std::string QrCode(const std::string& text);

}  // namespace shoal
