// Any bytes as activations from a peer: refused, or exactly the rows that were asked for. The first
// three bytes choose codec, rows and width.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "net/wire/activation_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace shoal;  // NOLINT
  if (size < 3) return 0;
  const ActivationCodec codec{static_cast<ActivationFormat>(data[0] % 4), (data[0] & 4U) != 0};
  const int64_t rows = data[1] % 4;
  const int32_t width = data[2] % 80;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 3), size - 3);
  const Result<std::vector<float>> values = DecodeActivations(codec, bytes, rows, width);
  if (!values.ok()) {
    CHECK(values.error().code == ErrorCode::kInvalidArgument, "an error of the peer's");
    return 0;
  }
  CHECK(values->size() == static_cast<size_t>(rows * width), "the rows asked for");
  const std::string again = EncodeActivations(codec, *values, width);
  CHECK(DecodeActivations(codec, again, rows, width).ok(), "what was read can be written");
  return 0;
}
