// From a request's body to what the engine needs: parsed, rendered, tokenized and cut to the
// context. Pure, but may take a while for a long prompt: runs on a worker thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "coordinator/api/request_parse.h"
#include "coordinator/text_model.h"

namespace shoal {

struct PrepareRules {
  ServedModel model;
  int32_t context_tokens = 0;
  int32_t default_max_tokens = 0;  // 0: whatever the context has left
  CivilDate today;
};

struct PreparedPrompt {
  std::vector<int32_t> tokens;  // at least one, and room for at least one more
  int32_t max_tokens = 0;       // >= 1; fits into the context
  std::string echo;             // the prompt's text if the answer is to begin with it
};

struct PreparedRequest {
  ParsedRequest parsed;
  std::vector<PreparedPrompt> prompts;  // at least one
};

// Errors: ParseRequest's; the chat template's own (raise_exception: exactly its message, code
// chat_template_error); an empty prompt; a prompt that leaves no room for an answer (code
// context_length_exceeded, both lengths named).
std::variant<PreparedRequest, ApiError> Prepare(Endpoint endpoint, std::string_view body,
                                                const TextModel& text, const PrepareRules& rules);

}  // namespace shoal
