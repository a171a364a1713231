#include "coordinator/api/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace shoal {

namespace {

std::string_view PromptField(Endpoint endpoint) {
  return endpoint == Endpoint::kChat ? "messages" : "prompt";
}

// Room, max_tokens and the context length; nothing if all is well.
std::optional<ApiError> FitIntoContext(const PrepareRules& rules, const ParsedRequest& parsed,
                                       PreparedPrompt& prompt) {
  const std::string field(PromptField(parsed.endpoint));
  const auto length = static_cast<int64_t>(prompt.tokens.size());
  if (length == 0) return BadRequest(field, field + ": the prompt is empty");
  if (length >= rules.context_tokens) {
    return BadRequest(field,
                      fmt::format("the prompt has {} tokens; the context length is {} tokens, at "
                                  "least one of them for the answer",
                                  length, rules.context_tokens),
                      "context_length_exceeded");
  }
  const auto room = static_cast<int32_t>(rules.context_tokens - length);
  const int32_t fallback = rules.default_max_tokens > 0 ? rules.default_max_tokens : room;
  prompt.max_tokens = std::min(parsed.max_tokens.value_or(fallback), room);
  return std::nullopt;
}

std::variant<PreparedPrompt, ApiError> PrepareChat(const TextModel& text, const PrepareRules& rules,
                                                   ParsedRequest& parsed) {
  const Result<std::string> rendered = text.RenderChat(std::move(parsed.chat), rules.today);
  if (!rendered.ok()) {
    return BadRequest("messages", rendered.error().message, "chat_template_error");
  }
  PreparedPrompt prompt;
  prompt.tokens = text.EncodeChat(*rendered);
  return prompt;
}

PreparedPrompt PrepareText(const Tokenizer& tokenizer, bool echo, PromptInput input) {
  PreparedPrompt prompt;
  if (auto* ids = std::get_if<std::vector<int32_t>>(&input)) {
    prompt.tokens = std::move(*ids);
    if (echo) prompt.echo = tokenizer.Decode(prompt.tokens);
    return prompt;
  }
  std::string& text = std::get<std::string>(input);
  prompt.tokens = tokenizer.Encode(text, ParseSpecial::kYes);
  // An empty text asks for any text: what follows the beginning.
  if (prompt.tokens.empty() && tokenizer.bos()) prompt.tokens.push_back(*tokenizer.bos());
  if (echo) prompt.echo = std::move(text);
  return prompt;
}

}  // namespace

std::variant<PreparedRequest, ApiError> Prepare(Endpoint endpoint, std::string_view body,
                                                const TextModel& text, const PrepareRules& rules) {
  std::variant<ParsedRequest, ApiError> result = ParseRequest(endpoint, body, rules.model);
  if (auto* error = std::get_if<ApiError>(&result)) return std::move(*error);
  PreparedRequest request;
  request.parsed = std::get<ParsedRequest>(std::move(result));
  ParsedRequest& parsed = request.parsed;
  if (endpoint == Endpoint::kChat) {
    std::variant<PreparedPrompt, ApiError> chat = PrepareChat(text, rules, parsed);
    if (auto* error = std::get_if<ApiError>(&chat)) return std::move(*error);
    request.prompts.push_back(std::get<PreparedPrompt>(std::move(chat)));
  } else {
    for (PromptInput& input : parsed.prompts) {
      request.prompts.push_back(PrepareText(text.tokenizer(), parsed.echo, std::move(input)));
    }
    parsed.prompts.clear();
  }
  for (PreparedPrompt& prompt : request.prompts) {
    if (std::optional<ApiError> error = FitIntoContext(rules, parsed, prompt)) {
      return std::move(*error);
    }
  }
  return request;
}

}  // namespace shoal
