// Any bytes as a request's body: refused with a whole error, or every promise of ParsedRequest
// holds. The first byte chooses the endpoint.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "coordinator/api/http_limits.h"
#include "coordinator/api/request_parse.h"
#include "coordinator/text_stream.h"

namespace shoal {
namespace {

constexpr int32_t kVocabSize = 1000;

void CheckError(const ApiError& error) {
  CHECK(error.status == 400 || error.status == 404, "an error of the client's");
  CHECK(!error.message.empty(), "an error says what is wrong");
  CHECK(error.Json().starts_with("{\"error\":"), "an error has OpenAI's shape");
}

bool Within(float value, float lowest, float highest) {
  return value >= lowest && value <= highest;
}

void CheckRequest(const ParsedRequest& request) {
  const SamplingParams& sampling = request.sampling;
  CHECK(Within(sampling.temperature, 0, 2), "temperature");
  CHECK(Within(sampling.top_p, 0, 1) && Within(sampling.min_p, 0, 1), "top_p, min_p");
  CHECK(Within(sampling.presence_penalty, -2, 2), "presence_penalty");
  CHECK(Within(sampling.frequency_penalty, -2, 2), "frequency_penalty");
  CHECK(sampling.top_k >= 0, "top_k");
  CHECK(sampling.logprobs >= -1 && sampling.logprobs <= StepLimits::kMaxLogprobs, "logprobs");
  CHECK(sampling.logit_bias.size() <= StepLimits::kMaxLogitBias, "logit_bias");
  for (const auto& [token, bias] : sampling.logit_bias) {
    CHECK(token >= 0 && token < kVocabSize && Within(bias, -100, 100), "an entry of logit_bias");
  }
  CHECK(request.choices >= 1 && request.choices <= HttpLimits::kMaxChoices, "n");
  CHECK(request.max_tokens.value_or(1) >= 1, "max_tokens");
  CHECK(request.stop.size() <= TextLimits::kMaxStopStrings, "stop");
  for (const std::string& stop : request.stop) CHECK(!stop.empty(), "a stop string");
  if (request.endpoint == Endpoint::kChat) {
    CHECK(!request.chat.at("messages").empty(), "messages");
    return;
  }
  CHECK(!request.prompts.empty() && request.prompts.size() <= HttpLimits::kMaxPrompts, "prompts");
  for (const PromptInput& prompt : request.prompts) {
    const auto* ids = std::get_if<std::vector<int32_t>>(&prompt);
    if (ids == nullptr) continue;
    for (const int32_t id : *ids) CHECK(id >= 0 && id < kVocabSize, "a token id");
  }
}

}  // namespace
}  // namespace shoal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto endpoint = data[0] == 'c' ? shoal::Endpoint::kChat : shoal::Endpoint::kCompletions;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto result = shoal::ParseRequest(endpoint, body, {"tiny", shoal::kVocabSize});
  if (const auto* error = std::get_if<shoal::ApiError>(&result)) {
    shoal::CheckError(*error);
  } else {
    shoal::CheckRequest(std::get<shoal::ParsedRequest>(result));
  }
  return 0;
}
