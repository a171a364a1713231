// Chat templates: an interpreter for the Jinja2 subset that published templates use, as Hugging
// Face runs it (trim_blocks, lstrip_blocks, loop controls, `generation` blocks, raise_exception,
// strftime_now, tojson without HTML escaping).
//
// Templates and contexts come from outside: parsing and rendering run within the limits below and
// give an Error instead of recursing, looping or growing without end.
//
// Thread rule: a ChatTemplate is immutable after Parse; Render is safe from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/wall_clock.h"

namespace shoal {

struct TemplateLimits {
  static constexpr size_t kMaxTemplateBytes = 1 << 20;
  static constexpr int kMaxNesting = 200;              // of expressions, blocks and calls
  static constexpr int64_t kMaxSteps = 10'000'000;     // nodes evaluated in one rendering
  static constexpr size_t kMaxOutputBytes = 16 << 20;  // rendered text, and any one string
  static constexpr size_t kMaxLiveBytes = 256 << 20;   // held by values at one time
  static constexpr int64_t kMaxRange = 100'000;        // of range(), as in Jinja2's sandbox
};

class ChatTemplate {
 public:
  // Errors: a syntax error or something outside the subset, with the line it stands on.
  static Result<ChatTemplate> Parse(std::string_view source);

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // `context` is an object; its keys (messages, tools, add_generation_prompt, bos_token, ...) are
  // the template's variables, an absent key is undefined. Key order is kept. `today` is what
  // strftime_now sees (midnight). Errors: raise_exception gives kInvalidArgument with exactly the
  // template's message; everything else (undefined, type errors, limits) is kFailedPrecondition.
  Result<std::string> Render(const nlohmann::ordered_json& context, CivilDate today) const;
  // The same for a context in JSON text, whose integers may have more than 64 bits. Text that is
  // not a JSON object is a kFailedPrecondition whose message begins "context: ".
  Result<std::string> RenderJson(std::string_view context, CivilDate today) const;

 private:
  struct Program;
  explicit ChatTemplate(std::unique_ptr<Program> program);
  std::unique_ptr<Program> program_;
};

}  // namespace shoal
