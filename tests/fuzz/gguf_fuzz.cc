// Any bytes as a GGUF file: refused with an error, or every promise of GgufFile holds.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/manifest.h"
#include "tests/support/gguf_invariants.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto file = shoal::GgufFile::Parse(bytes, "fuzz.gguf");
  if (!file.ok()) {
    CHECK(file.error().message.starts_with("fuzz.gguf: "), "an error that names the file");
    return 0;
  }
  const std::string violation = shoal::GgufViolation(*file, bytes);
  CHECK(violation.empty(), violation);
  shoal::ThreadPool pool(1);
  shoal::BuildManifest(*file, pool);
  return 0;
}
