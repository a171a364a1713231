// Answers as OpenAI's API shapes them: chunks of a stream and whole responses. Pure: plain values
// in, JSON text out.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordinator/api/request_parse.h"
#include "model/text/tokenizer.h"

namespace shoal {

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
};

// A sampled token with its logprobs, as the API shows it.
struct TokenReport {
  struct Entry {
    std::string bytes;  // what the token stands for; a control token's own text
    float logprob = 0;
  };
  Entry chosen;
  std::vector<Entry> top;  // likeliest first
};
TokenReport MakeTokenReport(const Tokenizer& tokenizer, const SampledToken& token);

// One answer of several, whole.
struct Choice {
  std::string text;
  std::vector<TokenReport> tokens;  // if logprobs were asked for
  std::string finish_reason;        // "stop" or "length"
};

class ResponseFormat {
 public:
  struct Head {
    Endpoint endpoint = Endpoint::kChat;
    std::string id;  // "chatcmpl-..." or "cmpl-..."
    int64_t created_unix_s = 0;
    std::string model;
    bool include_usage = false;  // chunks carry "usage": null, and UsageChunk comes last
    bool logprobs = false;
  };
  explicit ResponseFormat(Head head) : head_(std::move(head)) {}

  // A chat's first chunk of each choice: the role.
  std::string RoleChunk(int choice) const;
  // `report` may be null. `text_offset`: characters of the answer before this token.
  std::string TextChunk(int choice, std::string_view text, const TokenReport* report,
                        int64_t text_offset) const;
  std::string LastChunk(int choice, std::string_view finish_reason) const;
  std::string UsageChunk(const Usage& usage) const;
  std::string Whole(std::span<const Choice> choices, const Usage& usage) const;

 private:
  using Json = nlohmann::ordered_json;
  Json Envelope(bool chunk) const;
  Json Logprobs(std::span<const TokenReport> tokens, int64_t text_offset) const;
  std::string Chunk(Json choice) const;

  Head head_;
};

// Characters (not bytes) of UTF-8 text.
int64_t CountCharacters(std::string_view text);

// {"object":"list","data":[...]} and one of its entries.
std::string ModelListJson(const std::string& id, int64_t created_unix_s, int32_t context_tokens);
std::string ModelJson(const std::string& id, int64_t created_unix_s, int32_t context_tokens);

}  // namespace shoal
