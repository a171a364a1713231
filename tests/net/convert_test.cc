// Proves that steps and results survive the wire bit for bit, by properties over random ones.
#include "net/wire/convert.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cstring>
#include <utility>
#include <vector>

namespace shoal {
namespace {

constexpr int32_t kMaxVocab = 1 << 22;

// Any bits, so also NaN, infinities and -0.
std::vector<float> AnyFloats(size_t count) {
  const auto bits =
      *rc::gen::container<std::vector<uint32_t>>(count, rc::gen::arbitrary<uint32_t>());
  std::vector<float> floats(count);
  if (count != 0) std::memcpy(floats.data(), bits.data(), count * sizeof(float));
  return floats;
}

float AnyShare() { return static_cast<float>(*rc::gen::inRange(0, 1001)) / 1000; }

std::vector<StageTiming> AnyTimings() {
  std::vector<StageTiming> timings;
  const auto count = *rc::gen::inRange(0, 4);
  for (int32_t i = 0; i < count; ++i) {
    timings.push_back(
        {*rc::gen::inRange(0, 257), *rc::gen::inRange<int64_t>(0, 86'400'000'000'001)});
  }
  return timings;
}

SessionOpen AnyOpen() {
  SessionOpen open;
  open.session = SessionId{*rc::gen::arbitrary<uint64_t>()};
  open.context_tokens = *rc::gen::inRange(1, StepLimits::kMaxContextTokens + 1);
  open.prompt_tokens = *rc::gen::inRange(0, open.context_tokens + 1);
  SamplingParams& sampling = open.sampling;
  sampling.temperature = AnyShare() * 1e6F;
  sampling.top_k = *rc::gen::inRange(0, kMaxVocab + 1);
  sampling.top_p = AnyShare();
  sampling.min_p = AnyShare();
  sampling.repetition_penalty = AnyShare() + 1e-3F;
  sampling.presence_penalty = (AnyShare() - 0.5F) * 2e6F;
  sampling.frequency_penalty = (AnyShare() - 0.5F) * 2e6F;
  sampling.seed = *rc::gen::arbitrary<uint64_t>();
  sampling.logprobs = *rc::gen::inRange(-1, StepLimits::kMaxLogprobs + 1);
  const auto biased = *rc::gen::inRange(0, 4);
  for (int32_t i = 0; i < biased; ++i) {
    sampling.logit_bias.emplace_back(*rc::gen::inRange(0, kMaxVocab + 1), AnyShare() - 0.5F);
  }
  return open;
}

Slice AnySlice(bool with_tokens) {
  Slice slice;
  slice.session = SessionId{*rc::gen::arbitrary<uint64_t>()};
  slice.position = *rc::gen::inRange(0, StepLimits::kMaxContextTokens + 1);
  slice.token_count = *rc::gen::inRange(1, 20);
  slice.output = *rc::gen::element(Output::kNone, Output::kSample, Output::kLogits);
  if (with_tokens) {
    slice.tokens = *rc::gen::container<std::vector<int32_t>>(static_cast<size_t>(slice.token_count),
                                                             rc::gen::inRange(0, kMaxVocab + 1));
  }
  return slice;
}

// By their bits, so that NaN equals itself.
bool SameFloats(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

void ExpectSameTimings(const std::vector<StageTiming>& a, const std::vector<StageTiming>& b) {
  RC_ASSERT(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    RC_ASSERT(a[i].stage == b[i].stage && a[i].compute_ns == b[i].compute_ns);
  }
}

void ExpectSameSampling(const SamplingParams& a, const SamplingParams& b) {
  RC_ASSERT(a.temperature == b.temperature && a.top_k == b.top_k);
  RC_ASSERT(a.top_p == b.top_p && a.min_p == b.min_p);
  RC_ASSERT(a.repetition_penalty == b.repetition_penalty);
  RC_ASSERT(a.presence_penalty == b.presence_penalty);
  RC_ASSERT(a.frequency_penalty == b.frequency_penalty);
  RC_ASSERT(a.seed == b.seed && a.logprobs == b.logprobs);
  RC_ASSERT(a.logit_bias == b.logit_bias);
}

// Through the message's bytes, too.
template <typename Message>
Message Reparsed(const Message& message) {
  Message parsed;
  EXPECT_TRUE(parsed.ParseFromString(message.SerializeAsString()));
  return parsed;
}

RC_GTEST_PROP(ConvertProperty, AStepSurvivesTheWire, ()) {
  const auto model_dim = *rc::gen::element(0, 1, 8);
  Step step;
  step.epoch = Epoch{*rc::gen::arbitrary<uint64_t>()};
  step.id = StepId{*rc::gen::arbitrary<uint64_t>()};
  for (const uint64_t id : *rc::gen::arbitrary<std::vector<uint64_t>>()) {
    step.closes.push_back(SessionId{id});
  }
  for (int32_t left = *rc::gen::inRange(0, 4); left > 0; --left) step.opens.push_back(AnyOpen());
  for (int32_t left = *rc::gen::inRange(0, 5); left > 0; --left) {
    step.slices.push_back(AnySlice(*rc::gen::arbitrary<bool>()));
  }
  step.activations = AnyFloats(static_cast<size_t>(step.token_count() * model_dim));
  step.timings = AnyTimings();

  v1::StepMessage message;
  message.add_closes(77);  // is overwritten
  StepToMessage(step, message);
  const Result<Step> back = StepFromMessage(Reparsed(message), model_dim);
  RC_ASSERT(back.ok());
  RC_ASSERT(back->epoch == step.epoch && back->id == step.id);
  RC_ASSERT(back->closes == step.closes);
  RC_ASSERT(back->opens.size() == step.opens.size());
  for (size_t i = 0; i < step.opens.size(); ++i) {
    RC_ASSERT(back->opens[i].session == step.opens[i].session);
    RC_ASSERT(back->opens[i].context_tokens == step.opens[i].context_tokens);
    RC_ASSERT(back->opens[i].prompt_tokens == step.opens[i].prompt_tokens);
    ExpectSameSampling(back->opens[i].sampling, step.opens[i].sampling);
  }
  RC_ASSERT(back->slices.size() == step.slices.size());
  for (size_t i = 0; i < step.slices.size(); ++i) {
    RC_ASSERT(back->slices[i].session == step.slices[i].session);
    RC_ASSERT(back->slices[i].position == step.slices[i].position);
    RC_ASSERT(back->slices[i].token_count == step.slices[i].token_count);
    RC_ASSERT(back->slices[i].output == step.slices[i].output);
    RC_ASSERT(back->slices[i].tokens == step.slices[i].tokens);
  }
  RC_ASSERT(SameFloats(back->activations, step.activations));
  ExpectSameTimings(back->timings, step.timings);
}

RC_GTEST_PROP(ConvertProperty, AResultSurvivesTheWire, ()) {
  StepResult result;
  result.epoch = Epoch{*rc::gen::arbitrary<uint64_t>()};
  result.id = StepId{*rc::gen::arbitrary<uint64_t>()};
  result.last = *rc::gen::arbitrary<bool>();
  for (int32_t left = *rc::gen::inRange(0, 5); left > 0; --left) {
    SampledToken token;
    token.session = SessionId{*rc::gen::arbitrary<uint64_t>()};
    token.position = *rc::gen::inRange(0, StepLimits::kMaxContextTokens + 1);
    token.token = *rc::gen::inRange(0, kMaxVocab + 1);
    token.logprob = -AnyShare();
    const auto top = *rc::gen::inRange(0, StepLimits::kMaxLogprobs + 1);
    for (int32_t i = 0; i < top; ++i) token.top.push_back({i, -AnyShare()});
    result.tokens.push_back(std::move(token));
  }
  for (int32_t left = *rc::gen::inRange(0, 5); left > 0; --left) {
    result.logits.push_back({SessionId{*rc::gen::arbitrary<uint64_t>()},
                             *rc::gen::inRange(0, StepLimits::kMaxContextTokens + 1),
                             AnyFloats(*rc::gen::inRange<size_t>(0, 50))});
  }
  result.timings = AnyTimings();

  v1::StepResultMessage message;
  message.add_tokens();  // is overwritten
  ResultToMessage(result, message);
  const Result<StepResult> back = ResultFromMessage(Reparsed(message));
  RC_ASSERT(back.ok());
  RC_ASSERT(back->epoch == result.epoch && back->id == result.id && back->last == result.last);
  RC_ASSERT(back->tokens.size() == result.tokens.size());
  for (size_t i = 0; i < result.tokens.size(); ++i) {
    const SampledToken& a = result.tokens[i];
    const SampledToken& b = back->tokens[i];
    RC_ASSERT(a.session == b.session && a.position == b.position);
    RC_ASSERT(a.token == b.token && a.logprob == b.logprob && a.top.size() == b.top.size());
    for (size_t j = 0; j < a.top.size(); ++j) {
      RC_ASSERT(a.top[j].token == b.top[j].token && a.top[j].logprob == b.top[j].logprob);
    }
  }
  RC_ASSERT(back->logits.size() == result.logits.size());
  for (size_t i = 0; i < result.logits.size(); ++i) {
    RC_ASSERT(back->logits[i].session == result.logits[i].session);
    RC_ASSERT(back->logits[i].position == result.logits[i].position);
    RC_ASSERT(SameFloats(back->logits[i].logits, result.logits[i].logits));
  }
  ExpectSameTimings(back->timings, result.timings);
}

}  // namespace
}  // namespace shoal
