// Any bytes as a step and as a result from a peer: refused with an error that says what is wrong,
// or every limit holds and writing it again gives a message that reads the same. The first byte
// chooses the width of activations.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "net/wire/convert.h"

namespace shoal {
namespace {

void CheckError(const Error& error) {
  CHECK(error.code == ErrorCode::kInvalidArgument, "an error of the peer's");
  CHECK(error.message.find(':') != std::string::npos, "an error names the field");
}

void CheckStep(const Step& step, int32_t model_dim) {
  CHECK(step.closes.size() <= StepLimits::kMaxCloses, "closes");
  CHECK(step.opens.size() <= StepLimits::kMaxOpens, "opens");
  CHECK(step.slices.size() <= StepLimits::kMaxSlices, "slices");
  for (const SessionOpen& open : step.opens) {
    CHECK(open.context_tokens >= 1 && open.context_tokens <= StepLimits::kMaxContextTokens, "open");
    CHECK(open.prompt_tokens >= 0 && open.prompt_tokens <= open.context_tokens, "prompt");
    CHECK(open.sampling.logit_bias.size() <= StepLimits::kMaxLogitBias, "logit bias");
  }
  for (const Slice& slice : step.slices) {
    CHECK(slice.position >= 0 && slice.token_count >= 1, "slice");
    CHECK(slice.tokens.empty() || slice.tokens.size() == static_cast<size_t>(slice.token_count),
          "tokens of a slice");
  }
  CHECK(step.token_count() <= StepLimits::kMaxTokens, "tokens of all slices");
  CHECK(step.activations.size() == static_cast<size_t>(step.token_count() * model_dim),
        "activations");
}

void ReadAsStep(const uint8_t* data, size_t size, int32_t model_dim) {
  v1::StepMessage message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return;
  const Result<Step> step = StepFromMessage(message, model_dim);
  if (!step.ok()) return CheckError(step.error());
  CheckStep(*step, model_dim);
  v1::StepMessage again;
  StepToMessage(*step, again);
  CHECK(StepFromMessage(again, model_dim).ok(), "what was read can be written");
}

void ReadAsResult(const uint8_t* data, size_t size) {
  v1::StepResultMessage message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return;
  const Result<StepResult> result = ResultFromMessage(message);
  if (!result.ok()) return CheckError(result.error());
  CHECK(result->tokens.size() <= StepLimits::kMaxSlices, "tokens");
  CHECK(result->logits.size() <= StepLimits::kMaxTokens, "logits");
  for (const SampledToken& token : result->tokens) {
    CHECK(token.token >= 0 && token.position >= 0, "a token");
    CHECK(token.top.size() <= StepLimits::kMaxLogprobs, "logprobs");
  }
  v1::StepResultMessage again;
  ResultToMessage(*result, again);
  CHECK(ResultFromMessage(again).ok(), "what was read can be written");
}

}  // namespace
}  // namespace shoal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  shoal::ReadAsStep(data + 1, size - 1, data[0] % 8);
  shoal::ReadAsResult(data + 1, size - 1);
  return 0;
}
