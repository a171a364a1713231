// Parses and renders anything: the last line of the input is the context, what stands before it the
// template. Must end without a crash and within the limits of TemplateLimits.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "model/text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t newline = input.rfind('\n');
  if (newline == std::string_view::npos) return 0;
  const auto parsed = shoal::ChatTemplate::Parse(input.substr(0, newline));
  if (!parsed.ok()) return 0;
  const auto text = parsed.value().RenderJson(input.substr(newline + 1), {2026, 1, 15});
  if (text.ok() && text.value().size() > shoal::TemplateLimits::kMaxOutputBytes) __builtin_trap();
  return 0;
}
