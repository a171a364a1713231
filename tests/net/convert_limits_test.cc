// Proves that the wire's gate holds each limit: one field of a valid step or result at a time is
// set to just inside and just outside it, and the error names the field.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <vector>

#include "net/wire/convert.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr int32_t kMaxVocab = 1 << 22;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int32_t kDim = 4;

// One session opened, one slice of two tokens, activations of that size.
v1::StepMessage ValidStep() {
  Step step;
  SessionOpen open;
  open.session = SessionId{1};
  open.context_tokens = 64;
  open.sampling.logit_bias = {{7, 1.0F}};
  step.opens = {open};
  step.slices = {{SessionId{1}, 0, 2, Output::kSample, {5, 6}}};
  step.activations.resize(2 * kDim);
  step.timings = {{0, 10}};
  v1::StepMessage message;
  StepToMessage(step, message);
  return message;
}

v1::StepResultMessage ValidResult() {
  StepResult result;
  result.tokens = {{SessionId{1}, 2, 9, -0.5F, {{9, -0.5F}}}};
  result.logits = {{SessionId{1}, 1, {0.5F, 1.5F}}};
  result.timings = {{0, 10}};
  v1::StepResultMessage message;
  ResultToMessage(result, message);
  return message;
}

template <typename Message, typename Value>
struct FieldCase {
  const char* named;  // in the error
  std::function<void(Message&, Value)> set;
  std::vector<Value> allowed;
  std::vector<Value> refused;
};

template <typename Message, typename Value, typename Convert>
void ExpectLimits(const std::vector<FieldCase<Message, Value>>& cases, const Message& valid,
                  const Convert& convert) {
  ASSERT_TRUE(convert(valid).ok());
  for (const auto& field : cases) {
    for (const Value value : field.allowed) {
      Message message = valid;
      field.set(message, value);
      const auto converted = convert(message);
      EXPECT_TRUE(converted.ok()) << field.named << " " << value;
    }
    for (const Value value : field.refused) {
      Message message = valid;
      field.set(message, value);
      const auto converted = convert(message);
      ASSERT_FALSE(converted.ok()) << field.named << " " << value;
      EXPECT_EQ(converted.error().code, ErrorCode::kInvalidArgument);
      EXPECT_THAT(converted.error().message, HasSubstr(fmt::format("{}:", field.named)));
    }
  }
}

constexpr int32_t kLeast = std::numeric_limits<int32_t>::min();
constexpr int32_t kMost = std::numeric_limits<int32_t>::max();
const auto kFromStep = [](const v1::StepMessage& message) {
  return StepFromMessage(message, kDim);
};

TEST(ConvertLimits, HoldsEachNumberOfAStepToItsLimit) {
  const auto sampling = [](v1::StepMessage& m) { return m.mutable_opens(0)->mutable_sampling(); };
  const int32_t context = StepLimits::kMaxContextTokens;
  using Case = FieldCase<v1::StepMessage, int32_t>;
  const std::vector<Case> cases = {
      {"open.context_tokens",
       [](auto& m, int32_t v) { m.mutable_opens(0)->set_context_tokens(v); },
       {1, context},
       {0, -1, kLeast, context + 1, kMost}},
      {"open.prompt_tokens",
       [](auto& m, int32_t v) { m.mutable_opens(0)->set_prompt_tokens(v); },
       {0, 64},
       {-1, kLeast, 65, kMost}},
      {"sampling.top_k",
       [&](auto& m, int32_t v) { sampling(m)->set_top_k(v); },
       {0, kMaxVocab},
       {-1, kLeast, kMaxVocab + 1}},
      {"sampling.logprobs",
       [&](auto& m, int32_t v) { sampling(m)->set_logprobs(v); },
       {-1, StepLimits::kMaxLogprobs},
       {-2, kLeast, StepLimits::kMaxLogprobs + 1, kMost}},
      {"sampling.bias_tokens",
       [&](auto& m, int32_t v) { sampling(m)->set_bias_tokens(0, v); },
       {0, kMaxVocab},
       {-1, kLeast, kMost}},
      {"slice.position",
       [](auto& m, int32_t v) { m.mutable_slices(0)->set_position(v); },
       {0, context},
       {-1, kLeast, context + 1, kMost}},
      {"slice.token_count",
       [](auto& m, int32_t v) { m.mutable_slices(0)->set_token_count(v); },
       {2},
       {0, -1, kLeast, StepLimits::kMaxTokens + 1, kMost}},
      {"slice.output",
       [](auto& m, int32_t v) {
         m.mutable_slices(0)->set_output(static_cast<v1::OutputMessage>(v));
       },
       {0, 1, 2},
       {-1, 3, 99}},
      {"slice.tokens count",
       [](auto& m, int32_t v) { m.mutable_slices(0)->mutable_tokens()->Resize(v, 5); },
       {0, 2},
       {1, 3, 1000}},
      {"slice.tokens",
       [](auto& m, int32_t v) { m.mutable_slices(0)->set_tokens(1, v); },
       {0, kMaxVocab},
       {-1, kLeast, kMost}},
      {"activations bytes",
       [](auto& m, int32_t v) { m.mutable_activations()->resize(static_cast<size_t>(v)); },
       {2 * kDim * 4},
       {0, 1, 2 * kDim * 4 - 1, 2 * kDim * 4 + 1, 4 * kDim * 4}},
      {"timing.stage",
       [](auto& m, int32_t v) { m.mutable_timings(0)->set_stage(v); },
       {0, 255},
       {-1, kLeast, 257, kMost}},
  };
  ExpectLimits(cases, ValidStep(), kFromStep);
}

TEST(ConvertLimits, HoldsEachFloatOfSamplingToItsRange) {
  const auto sampling = [](v1::StepMessage& m) { return m.mutable_opens(0)->mutable_sampling(); };
  using Case = FieldCase<v1::StepMessage, float>;
  const std::vector<Case> cases = {
      {"sampling.temperature",
       [&](auto& m, float v) { sampling(m)->set_temperature(v); },
       {0, -0.0F, 1e6F},
       {-0.1F, kNan, kInfinity, 1e7F}},
      {"sampling.top_p",
       [&](auto& m, float v) { sampling(m)->set_top_p(v); },
       {0, 1},
       {-0.1F, 1.1F, kNan, kInfinity}},
      {"sampling.min_p",
       [&](auto& m, float v) { sampling(m)->set_min_p(v); },
       {0, 1},
       {-0.1F, 1.1F, kNan, -kInfinity}},
      {"sampling.repetition_penalty",
       [&](auto& m, float v) { sampling(m)->set_repetition_penalty(v); },
       {1e-3F, 2},
       {0, -1, kNan, kInfinity}},
      {"sampling.presence_penalty",
       [&](auto& m, float v) { sampling(m)->set_presence_penalty(v); },
       {-1e6F, 0, 1e6F},
       {kNan, kInfinity, -kInfinity, 1e7F}},
      {"sampling.frequency_penalty",
       [&](auto& m, float v) { sampling(m)->set_frequency_penalty(v); },
       {-1e6F, 0, 1e6F},
       {kNan, kInfinity, -kInfinity, -1e7F}},
      {"sampling.bias_values",
       [&](auto& m, float v) { sampling(m)->set_bias_values(0, v); },
       {-1e6F, 1e6F},
       {kNan, kInfinity, -kInfinity, 1e7F}},
  };
  ExpectLimits(cases, ValidStep(), kFromStep);
}

TEST(ConvertLimits, HoldsEachCountOfAStepToItsLimit) {
  using Case = FieldCase<v1::StepMessage, int32_t>;
  const auto more_slices = [](v1::StepMessage& m, int32_t count, int32_t tokens) {
    m.clear_slices();
    for (int32_t i = 0; i < count; ++i) m.add_slices()->set_token_count(tokens);
    m.mutable_activations()->assign(static_cast<size_t>(count * tokens * kDim * 4), '\0');
  };
  const auto biases = [](v1::StepMessage& m) { return m.mutable_opens(0)->mutable_sampling(); };
  const std::vector<Case> cases = {
      {"closes count",
       [](auto& m, int32_t v) { m.mutable_closes()->Resize(v, 1); },
       {0, StepLimits::kMaxCloses},
       {StepLimits::kMaxCloses + 1}},
      {"opens count",
       [](auto& m, int32_t v) {
         while (m.opens_size() < v) *m.add_opens() = m.opens(0);
       },
       {StepLimits::kMaxOpens},
       {StepLimits::kMaxOpens + 1}},
      {"slices count",
       [&](auto& m, int32_t v) { more_slices(m, v, 1); },
       {0, StepLimits::kMaxSlices},
       {StepLimits::kMaxSlices + 1}},
      {"tokens of all slices",
       [&](auto& m, int32_t v) { more_slices(m, 5, v / 5); },
       {1020},
       {1030, 5 * StepLimits::kMaxTokens}},
      {"timings count",
       [](auto& m, int32_t v) {
         while (m.timings_size() < v) m.add_timings();
       },
       {256},
       {257}},
      {"sampling.bias_values count",
       [&](auto& m, int32_t v) { biases(m)->mutable_bias_values()->Resize(v, 1); },
       {1},
       {0, 2}},
      {"sampling.bias_tokens count",
       [&](auto& m, int32_t v) {
         biases(m)->mutable_bias_tokens()->Resize(v, 1);
         biases(m)->mutable_bias_values()->Resize(v, 1);
       },
       {0, StepLimits::kMaxLogitBias},
       {StepLimits::kMaxLogitBias + 1}},
  };
  ExpectLimits(cases, ValidStep(), kFromStep);
}

TEST(ConvertLimits, HoldsEachTimeToItsLimit) {
  using Case = FieldCase<v1::StepMessage, int64_t>;
  const std::vector<Case> cases = {
      {"timing.compute_ns",
       [](auto& m, int64_t v) { m.mutable_timings(0)->set_compute_ns(v); },
       {0, 86'400'000'000'000},
       {-1, 86'400'000'000'001, std::numeric_limits<int64_t>::min()}}};
  ExpectLimits(cases, ValidStep(), kFromStep);
}

// The first stage takes tokens and no activations.
TEST(ConvertLimits, WithoutAWidthNoActivationsAreTaken) {
  v1::StepMessage message = ValidStep();
  EXPECT_FALSE(StepFromMessage(message, 0).ok());
  message.clear_activations();
  EXPECT_TRUE(StepFromMessage(message, 0).ok());
  EXPECT_FALSE(StepFromMessage(message, kDim).ok());
}

TEST(ConvertLimits, AnOpenWithoutSamplingIsRefused) {
  v1::StepMessage message = ValidStep();
  message.mutable_opens(0)->clear_sampling();
  const Result<Step> step = StepFromMessage(message, kDim);
  ASSERT_FALSE(step.ok());
  EXPECT_THAT(step.error().message, HasSubstr("sampling.repetition_penalty"));
}

TEST(ConvertLimits, HoldsEachNumberOfAResultToItsLimit) {
  const int32_t context = StepLimits::kMaxContextTokens;
  using Case = FieldCase<v1::StepResultMessage, int32_t>;
  const std::vector<Case> cases = {
      {"token.position",
       [](auto& m, int32_t v) { m.mutable_tokens(0)->set_position(v); },
       {0, context},
       {-1, kLeast, context + 1, kMost}},
      {"token.token",
       [](auto& m, int32_t v) { m.mutable_tokens(0)->set_token(v); },
       {0, kMaxVocab},
       {-1, kLeast, kMaxVocab + 1, kMost}},
      {"token.top.token",
       [](auto& m, int32_t v) { m.mutable_tokens(0)->mutable_top(0)->set_token(v); },
       {0, kMaxVocab},
       {-1, kLeast, kMaxVocab + 1, kMost}},
      {"token.top count",
       [](auto& m, int32_t v) {
         m.mutable_tokens(0)->clear_top();
         while (m.tokens(0).top_size() < v) m.mutable_tokens(0)->add_top();
       },
       {0, StepLimits::kMaxLogprobs},
       {StepLimits::kMaxLogprobs + 1}},
      {"logits.position",
       [](auto& m, int32_t v) { m.mutable_logits(0)->set_position(v); },
       {0, context},
       {-1, kLeast, context + 1, kMost}},
      {"logits",
       [](auto& m, int32_t v) {
         m.mutable_logits(0)->mutable_logits()->resize(static_cast<size_t>(v));
       },
       {0, 4, 400},
       {1, 7, 401}},
      {"tokens count",
       [](auto& m, int32_t v) {
         while (m.tokens_size() < v) m.add_tokens();
       },
       {StepLimits::kMaxSlices},
       {StepLimits::kMaxSlices + 1}},
      {"logits count",
       [](auto& m, int32_t v) {
         while (m.logits_size() < v) m.add_logits();
       },
       {StepLimits::kMaxTokens},
       {StepLimits::kMaxTokens + 1}},
      {"timings count",
       [](auto& m, int32_t v) {
         while (m.timings_size() < v) m.add_timings();
       },
       {256},
       {257}},
      {"timing.stage",
       [](auto& m, int32_t v) { m.mutable_timings(0)->set_stage(v); },
       {0, 255},
       {-1, kLeast, kMost}},
  };
  ExpectLimits(cases, ValidResult(), ResultFromMessage);
}

}  // namespace
}  // namespace shoal
