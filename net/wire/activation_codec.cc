#include "net/wire/activation_codec.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>

#include "base/bytes.h"
#include "base/check.h"
#include "base/half_float.h"

namespace shoal {

namespace {

constexpr std::string_view kZstdSuffix = "+zstd";
constexpr int kZstdLevel = 1;  // activations hardly shrink more with a higher one
constexpr float kLargestHalf = 65504;
constexpr float kLargestBfloat16 = 0x1.fep127F;
constexpr float kLargestInt8 = 127;
constexpr float kSmallestBlock = 1e-35F;  // 127 / it is finite

struct FormatName {
  ActivationFormat format;
  std::string_view name;
};
constexpr std::array<FormatName, 4> kNames = {{{ActivationFormat::kF32, "f32"},
                                               {ActivationFormat::kF16, "f16"},
                                               {ActivationFormat::kBf16, "bf16"},
                                               {ActivationFormat::kInt8, "int8"}}};

// A value of the format; 1 for int8, whose scales lie between.
size_t PlanesOf(ActivationFormat format) {
  switch (format) {
    case ActivationFormat::kF32: return 4;
    case ActivationFormat::kF16:
    case ActivationFormat::kBf16: return 2;
    case ActivationFormat::kInt8: return 1;
  }
  return 1;
}

float Saturated(float value, float largest) {
  return std::isfinite(value) ? std::clamp(value, -largest, largest) : value;
}

void EncodeBlock(std::span<const float> values, char* out) {
  float largest = 0;
  bool finite = true;
  for (const float value : values) {
    finite = finite && std::isfinite(value);
    largest = std::max(largest, std::fabs(value));
  }
  float scale = largest / kLargestInt8;
  float inverse = kLargestInt8 / largest;
  if (largest < kSmallestBlock) scale = inverse = 0;
  if (!finite) scale = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(out, &scale, sizeof(scale));
  out += sizeof(scale);
  for (const float value : values) {
    *out++ = finite ? static_cast<char>(std::lrint(value * inverse)) : 0;
  }
}

// Visits the blocks of all rows in order: the values' begin and count.
template <typename Visit>
void ForEachBlock(int64_t rows, int32_t width, Visit visit) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int32_t begin = 0; begin < width; begin += kInt8BlockValues) {
      visit(static_cast<size_t>(row * width + begin),
            static_cast<size_t>(std::min(kInt8BlockValues, width - begin)));
    }
  }
}

std::string Encode(ActivationFormat format, std::span<const float> values, int32_t width) {
  const int64_t rows = width == 0 ? 0 : static_cast<int64_t>(values.size()) / width;
  std::string out(static_cast<size_t>(EncodedBytes(format, rows, width)), '\0');
  char* to = out.data();
  if (format == ActivationFormat::kF32) {
    if (!values.empty()) std::memcpy(to, values.data(), values.size_bytes());
  } else if (format == ActivationFormat::kInt8) {
    ForEachBlock(rows, width, [&](size_t begin, size_t count) {
      EncodeBlock(values.subspan(begin, count), to);
      to += sizeof(float) + count;
    });
  } else {
    for (const float value : values) {
      const uint16_t half = format == ActivationFormat::kF16
                                ? FloatToHalf(Saturated(value, kLargestHalf))
                                : FloatToBfloat16(Saturated(value, kLargestBfloat16));
      std::memcpy(to, &half, sizeof(half));
      to += sizeof(half);
    }
  }
  return out;
}

// REQUIRES `from` to have the bytes of so many rows.
std::vector<float> Decode(ActivationFormat format, const char* from, int64_t rows, int32_t width) {
  std::vector<float> values(static_cast<size_t>(rows * width));
  if (format == ActivationFormat::kF32) {
    if (!values.empty()) std::memcpy(values.data(), from, values.size() * sizeof(float));
  } else if (format == ActivationFormat::kInt8) {
    ForEachBlock(rows, width, [&](size_t begin, size_t count) {
      const auto scale = LoadLittleEndian<float>(from);
      from += sizeof(float);
      for (size_t i = begin; i < begin + count; ++i) {
        values[i] = scale * static_cast<float>(static_cast<int8_t>(*from++));
      }
    });
  } else {
    for (float& value : values) {
      const auto half = LoadLittleEndian<uint16_t>(from);
      from += sizeof(half);
      value = format == ActivationFormat::kF16 ? HalfToFloat(half) : Bfloat16ToFloat(half);
    }
  }
  return values;
}

// Byte b of value i stands at b * values + i: bytes that are alike stand together.
std::string ToPlanes(std::string_view bytes, size_t planes) {
  const size_t values = bytes.size() / planes;
  std::string out(bytes.size(), '\0');
  for (size_t i = 0; i < values; ++i) {
    for (size_t b = 0; b < planes; ++b) out[b * values + i] = bytes[i * planes + b];
  }
  return out;
}

std::string FromPlanes(std::string_view bytes, size_t planes) {
  const size_t values = bytes.size() / planes;
  std::string out(bytes.size(), '\0');
  for (size_t i = 0; i < values; ++i) {
    for (size_t b = 0; b < planes; ++b) out[i * planes + b] = bytes[b * values + i];
  }
  return out;
}

std::string Compress(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), kZstdLevel);
  CHECK(ZSTD_isError(size) == 0, "a bound that holds");
  out.resize(size);
  return out;
}

// Never writes beyond `expected` bytes, whatever the frame claims.
Result<std::string> Decompress(std::string_view frame, size_t expected) {
  const unsigned long long claimed =
      ZSTD_getFrameContentSize(frame.data(), frame.size());  // NOLINT
  if (claimed != expected) {
    return InvalidArgument(
        fmt::format("activations: a zstd frame of {} bytes that does not say that it holds {}",
                    frame.size(), expected));
  }
  std::string out(expected, '\0');
  const size_t size = ZSTD_decompress(out.data(), out.size(), frame.data(), frame.size());
  if (ZSTD_isError(size) != 0) {
    return InvalidArgument(
        fmt::format("activations: a damaged zstd frame: {}", ZSTD_getErrorName(size)));
  }
  if (size != expected) {
    return InvalidArgument(
        fmt::format("activations: the zstd frame holds {} bytes, expected {}", size, expected));
  }
  return out;
}

}  // namespace

std::string ActivationCodec::ToString() const {
  const auto* const found = std::find_if(
      kNames.begin(), kNames.end(), [&](const FormatName& name) { return name.format == format; });
  return std::string(found->name) + (zstd ? std::string(kZstdSuffix) : "");
}

Result<ActivationCodec> ParseActivationCodec(std::string_view text) {
  ActivationCodec codec;
  std::string_view name = text;
  if (name.ends_with(kZstdSuffix)) {
    codec.zstd = true;
    name.remove_suffix(kZstdSuffix.size());
  }
  const auto* const found = std::find_if(kNames.begin(), kNames.end(),
                                         [&](const FormatName& f) { return f.name == name; });
  if (found == kNames.end()) {
    return InvalidArgument(
        fmt::format("'{}' is not a wire codec: expected f32, f16, bf16 or int8, with or without {}",
                    text.substr(0, 32), kZstdSuffix));
  }
  codec.format = found->format;
  return codec;
}

int64_t EncodedBytes(ActivationFormat format, int64_t rows, int32_t width) {
  if (format != ActivationFormat::kInt8) {
    return rows * width * static_cast<int64_t>(PlanesOf(format));
  }
  const int64_t blocks = (int64_t{width} + kInt8BlockValues - 1) / kInt8BlockValues;
  return rows * (width + blocks * static_cast<int64_t>(sizeof(float)));
}

std::string EncodeActivations(ActivationCodec codec, std::span<const float> values, int32_t width) {
  CHECK(width == 0 ? values.empty() : values.size() % static_cast<size_t>(width) == 0,
        "whole rows of activations");
  std::string bytes = Encode(codec.format, values, width);
  // No values, no bytes: what a first stage gets.
  if (!codec.zstd || bytes.empty()) return bytes;
  return Compress(ToPlanes(bytes, PlanesOf(codec.format)));
}

Result<std::vector<float>> DecodeActivations(ActivationCodec codec, std::string_view bytes,
                                             int64_t rows, int32_t width) {
  const int64_t expected = EncodedBytes(codec.format, rows, width);
  std::string plain;
  if (codec.zstd && expected > 0) {
    ASSIGN_OR_RETURN(const std::string planes, Decompress(bytes, static_cast<size_t>(expected)));
    plain = FromPlanes(planes, PlanesOf(codec.format));
    bytes = plain;
  }
  if (static_cast<int64_t>(bytes.size()) != expected) {
    return InvalidArgument(
        fmt::format("activations bytes: {} in {}, expected {} for {} rows of {} values",
                    bytes.size(), codec.ToString(), expected, rows, width));
  }
  return Decode(codec.format, bytes.data(), rows, width);
}

}  // namespace shoal
