// Bytes by their SHA-256, wherever they are kept.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/sha256.h"

namespace shoal {

struct Content {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;  // keeps them where they are
};

inline Content OwnedContent(std::string bytes) {
  const auto owner = std::make_shared<const std::string>(std::move(bytes));
  return {std::as_bytes(std::span(*owner)), owner};
}

// Thread rule: safe from any thread.
class ContentSource {
 public:
  virtual ~ContentSource() = default;
  // No owner: they are not here.
  virtual Content Find(const Sha256Digest& digest) = 0;
};

}  // namespace shoal
