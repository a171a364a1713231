// The bodies of /v1/chat/completions and /v1/completions: JSON in, a checked request or the error
// to answer out. Pure; the one gate for what a client sends: nothing behind it checks again.
//
// Unknown fields are ignored. Fields that would change the answer in a way this server cannot
// (response_format, forced tools, images, suffix, ...) are refused by name.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "coordinator/api/api_error.h"
#include "model/step/step.h"

namespace shoal {

enum class Endpoint { kChat, kCompletions };

// What a request is checked against.
struct ServedModel {
  std::string id;
  int32_t vocab_size = 0;
};

// Text, or token ids that are in the vocabulary.
using PromptInput = std::variant<std::string, std::vector<int32_t>>;

struct ParsedRequest {
  Endpoint endpoint = Endpoint::kChat;
  // kChat: {messages, tools?} for the template. Contents are strings or null, "developer" became
  // "system", tool call arguments are objects where they parse as such.
  nlohmann::ordered_json chat;
  std::vector<PromptInput> prompts;  // kCompletions: at least one

  std::optional<int32_t> max_tokens;  // >= 1
  int32_t choices = 1;                // per prompt
  std::vector<std::string> stop;      // none is empty
  bool stream = false;
  bool include_usage = false;  // with `stream`: a last chunk with the usage
  bool echo = false;
  SamplingParams sampling;       // all but the seed; logprobs >= 0 if they were asked for
  std::optional<uint64_t> seed;  // of the first choice
};

std::variant<ParsedRequest, ApiError> ParseRequest(Endpoint endpoint, std::string_view body,
                                                   const ServedModel& model);

}  // namespace shoal
