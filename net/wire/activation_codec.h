// How activations travel on a link. Only f32 is exact; the others trade exactness for bytes.
//
//   f32    4 bytes a value, the same bits
//   f16    2 bytes: IEEE half, to nearest even; finite values beyond +-65504 become that
//   bf16   2 bytes: the upper half of f32, to nearest even; likewise never infinite from finite
//   int8   blocks of 32 values of a row (the last may be shorter): f32 scale, then one int8 each:
//          a = the block's largest magnitude, scale = a / 127, q = x * (127 / a) to nearest even;
//          a < 1e-35 gives zeros. |x - q * scale| <= a / 254 and rounding. One value that is not
//          finite makes its whole block NaN.
//   +zstd  the above, in byte planes (all first bytes, all second bytes, ...; int8 as it is), as
//   one
//          zstd frame
//
// NaN stays NaN in every format. A row is one token's and is encoded by itself, so that what
// arrives does not depend on the tokens that travel with it. Numbers are little endian.
//
// Thread rule: pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace shoal {

enum class ActivationFormat : uint8_t { kF32, kF16, kBf16, kInt8 };

struct ActivationCodec {
  ActivationFormat format = ActivationFormat::kF32;
  bool zstd = false;

  bool exact() const { return format == ActivationFormat::kF32; }
  std::string ToString() const;  // what ParseActivationCodec reads
  bool operator==(const ActivationCodec&) const = default;
};

constexpr int32_t kInt8BlockValues = 32;

// Reads "f32", "f16", "bf16" or "int8", and these with "+zstd". Errors name the text.
Result<ActivationCodec> ParseActivationCodec(std::string_view text);

// Of `rows` rows of `width` values, before zstd.
int64_t EncodedBytes(ActivationFormat format, int64_t rows, int32_t width);

// REQUIRES values to be whole rows: a multiple of `width`, none if that is 0.
std::string EncodeActivations(ActivationCodec codec, std::span<const float> values, int32_t width);

// Reads any bytes; takes no more memory than `rows` rows need. Errors (kInvalidArgument): a size
// that is not that of `rows` rows, a zstd frame that is damaged or of another size.
Result<std::vector<float>> DecodeActivations(ActivationCodec codec, std::string_view bytes,
                                             int64_t rows, int32_t width);

}  // namespace shoal
