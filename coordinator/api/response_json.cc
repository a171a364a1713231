#include "coordinator/api/response_json.h"

#include <algorithm>
#include <cmath>

namespace shoal {

namespace {

using Json = nlohmann::ordered_json;

// Tokens may end within a character; their text is for people, "bytes" is exact.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

TokenReport::Entry MakeEntry(const Tokenizer& tokenizer, int32_t token, float logprob) {
  std::string bytes = tokenizer.TokenBytes(token);
  if (bytes.empty()) bytes = tokenizer.TokenText(token);
  return {std::move(bytes), logprob};
}

// JSON has no infinity; -9999 is what OpenAI's API writes for it.
double Finite(float logprob) { return std::isfinite(logprob) ? logprob : -9999.0; }

Json ChatEntry(const TokenReport::Entry& entry) {
  Json bytes = Json::array();
  for (const char byte : entry.bytes) bytes.push_back(static_cast<uint8_t>(byte));
  return {{"token", entry.bytes}, {"logprob", Finite(entry.logprob)}, {"bytes", std::move(bytes)}};
}

Json ChatLogprobs(std::span<const TokenReport> tokens) {
  Json content = Json::array();
  for (const TokenReport& token : tokens) {
    Json entry = ChatEntry(token.chosen);
    entry["top_logprobs"] = Json::array();
    for (const TokenReport::Entry& top : token.top) entry["top_logprobs"].push_back(ChatEntry(top));
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

// Two candidates whose bytes are no whole characters may share a key: the likelier one stays.
Json TopByText(const TokenReport& token) {
  std::vector<std::pair<std::string, double>> pairs;
  for (const TokenReport::Entry& top : token.top) {
    const std::string quoted = Dump(Json(top.bytes));
    pairs.emplace_back(Json::parse(quoted).get<std::string>(), Finite(top.logprob));
  }
  Json object = Json::object();
  for (const auto& [text, logprob] : pairs) {
    if (!object.contains(text)) object[text] = logprob;
  }
  return object;
}

Json CompletionLogprobs(std::span<const TokenReport> tokens, int64_t text_offset) {
  Json texts = Json::array(), logprobs = Json::array(), tops = Json::array(),
       offsets = Json::array();
  for (const TokenReport& token : tokens) {
    texts.push_back(token.chosen.bytes);
    logprobs.push_back(Finite(token.chosen.logprob));
    tops.push_back(TopByText(token));
    offsets.push_back(text_offset);
    text_offset += CountCharacters(token.chosen.bytes);
  }
  return {{"tokens", std::move(texts)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

Json UsageObject(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

Json ModelObject(const std::string& id, int64_t created_unix_s, int32_t context_tokens) {
  return {{"id", id},
          {"object", "model"},
          {"created", created_unix_s},
          {"owned_by", "shoal"},
          {"context_length", context_tokens}};
}

}  // namespace

TokenReport MakeTokenReport(const Tokenizer& tokenizer, const SampledToken& token) {
  TokenReport report;
  report.chosen = MakeEntry(tokenizer, token.token, token.logprob);
  for (const TokenLogprob& top : token.top) {
    report.top.push_back(MakeEntry(tokenizer, top.token, top.logprob));
  }
  return report;
}

int64_t CountCharacters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char byte) { return (static_cast<uint8_t>(byte) & 0xC0) != 0x80; });
}

Json ResponseFormat::Envelope(bool chunk) const {
  const bool chat = head_.endpoint == Endpoint::kChat;
  const char* chat_object = chunk ? "chat.completion.chunk" : "chat.completion";
  return {{"id", head_.id},
          {"object", chat ? chat_object : "text_completion"},
          {"created", head_.created_unix_s},
          {"model", head_.model}};
}

Json ResponseFormat::Logprobs(std::span<const TokenReport> tokens, int64_t text_offset) const {
  if (!head_.logprobs) return nullptr;
  return head_.endpoint == Endpoint::kChat ? ChatLogprobs(tokens)
                                           : CompletionLogprobs(tokens, text_offset);
}

std::string ResponseFormat::Chunk(Json choice) const {
  Json body = Envelope(true);
  body["choices"] = Json::array({std::move(choice)});
  if (head_.include_usage) body["usage"] = nullptr;
  return Dump(body);
}

std::string ResponseFormat::RoleChunk(int choice) const {
  return Chunk({{"index", choice},
                {"delta", {{"role", "assistant"}, {"content", ""}}},
                {"logprobs", nullptr},
                {"finish_reason", nullptr}});
}

std::string ResponseFormat::TextChunk(int choice, std::string_view text, const TokenReport* report,
                                      int64_t text_offset) const {
  Json logprobs;
  if (report != nullptr) logprobs = Logprobs(std::span(report, 1), text_offset);
  if (head_.endpoint == Endpoint::kChat) {
    return Chunk({{"index", choice},
                  {"delta", {{"content", text}}},
                  {"logprobs", std::move(logprobs)},
                  {"finish_reason", nullptr}});
  }
  return Chunk({{"index", choice},
                {"text", text},
                {"logprobs", std::move(logprobs)},
                {"finish_reason", nullptr}});
}

std::string ResponseFormat::LastChunk(int choice, std::string_view finish_reason) const {
  if (head_.endpoint == Endpoint::kChat) {
    return Chunk({{"index", choice},
                  {"delta", Json::object()},
                  {"logprobs", nullptr},
                  {"finish_reason", finish_reason}});
  }
  return Chunk(
      {{"index", choice}, {"text", ""}, {"logprobs", nullptr}, {"finish_reason", finish_reason}});
}

std::string ResponseFormat::UsageChunk(const Usage& usage) const {
  Json body = Envelope(true);
  body["choices"] = Json::array();
  body["usage"] = UsageObject(usage);
  return Dump(body);
}

std::string ResponseFormat::Whole(std::span<const Choice> choices, const Usage& usage) const {
  Json body = Envelope(false);
  body["choices"] = Json::array();
  for (size_t i = 0; i < choices.size(); ++i) {
    const Choice& choice = choices[i];
    Json entry = {{"index", i}};
    if (head_.endpoint == Endpoint::kChat) {
      entry["message"] = {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
    } else {
      entry["text"] = choice.text;
    }
    entry["logprobs"] = Logprobs(choice.tokens, 0);
    entry["finish_reason"] = choice.finish_reason;
    body["choices"].push_back(std::move(entry));
  }
  body["usage"] = UsageObject(usage);
  return Dump(body);
}

std::string ModelListJson(const std::string& id, int64_t created_unix_s, int32_t context_tokens) {
  return Dump({{"object", "list"},
               {"data", Json::array({ModelObject(id, created_unix_s, context_tokens)})}});
}

std::string ModelJson(const std::string& id, int64_t created_unix_s, int32_t context_tokens) {
  return Dump(ModelObject(id, created_unix_s, context_tokens));
}

}  // namespace shoal
