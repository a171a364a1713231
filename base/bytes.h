// Unaligned little-endian loads. Every machine Shoal runs on is little endian; this says so once.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <type_traits>

namespace shoal {

static_assert(std::endian::native == std::endian::little, "Shoal needs a little-endian machine");

// Reads a T from `from`, which needs no alignment.
template <typename T>
requires std::is_trivially_copyable_v<T> T LoadLittleEndian(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

}  // namespace shoal
