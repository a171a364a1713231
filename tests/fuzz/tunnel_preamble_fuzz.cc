// Any bytes as the preamble of a tunnel, or as a hub's greeting: refused, or written again the
// same.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "net/tunnel/preamble.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace shoal;  // NOLINT
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (size >= kGreetingBytes) {
    const std::string_view greeting = bytes.substr(0, kGreetingBytes);
    if (const Result<TunnelNonce> nonce = ParseGreeting(greeting); nonce.ok()) {
      CHECK(GreetingBytes(*nonce) == greeting, "a greeting is written as it was read");
    }
  }
  if (size < kPreambleHeaderBytes) return 0;
  const Result<PreambleHeader> header = ParsePreambleHeader(bytes.substr(0, kPreambleHeaderBytes));
  if (!header.ok()) return 0;
  CHECK(header->body_bytes <= kMaxPreambleBodyBytes, "a bounded body");
  const std::string_view body = bytes.substr(kPreambleHeaderBytes, header->body_bytes);
  const Result<TunnelPreamble> preamble = ParsePreambleBody(header->purpose, body);
  if (!preamble.ok()) {
    CHECK(preamble.error().code == ErrorCode::kInvalidArgument, "an error of the peer's");
    return 0;
  }
  CHECK(IsTunnelName(preamble->mesh) && IsTunnelName(preamble->node), "names");
  CHECK(preamble->target.empty() == (preamble->purpose == TunnelPurpose::kPark), "a target");
  CHECK(PreambleBytes(*preamble).substr(kPreambleHeaderBytes) == body,
        "a preamble is written as it was read");
  return 0;
}
