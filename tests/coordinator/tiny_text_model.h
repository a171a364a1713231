// A text model for tests whose tokens are bytes: token kFirstByte + b stands for byte b. A few more
// tokens are words, which encoding never makes, so that a test can answer with them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/text_model.h"

namespace shoal {

struct TinyTokens {
  static constexpr int32_t kBos = 1;  // put in front of texts
  static constexpr int32_t kEnd = 2;
  static constexpr int32_t kFirstByte = 3;
  static constexpr int32_t kHello = 259;     // "Hello"
  static constexpr int32_t kWorld = 260;     // " world"
  static constexpr int32_t kAbStop = 261;    // "abSTO"
  static constexpr int32_t kStopTail = 262;  // "Pcd"
  static constexpr int32_t kCount = 263;
};

// Its chat template writes "role:content;" for each message, then "assistant:", and refuses
// messages of the role "tool".
std::unique_ptr<TextModel> MakeTinyTextModel();
std::unique_ptr<TextModel> MakeTinyTextModel(std::string_view chat_template);

// One token for each byte.
std::vector<int32_t> ByteTokens(std::string_view text);

}  // namespace shoal
