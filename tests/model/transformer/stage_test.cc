// Proves what a stage promises beyond right logits: every tensor type gives the same bits however a
// step is cut, errors leave exactly the sessions of the step unusable, memory is admitted before it
// is used and given back, and what passes between stages is what stage.h says.
#include "model/transformer/stage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/isa.h"
#include "tests/model/transformer/small_model.h"
#include "tests/model/transformer/stage_harness.h"

namespace shoal::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

kernels::Isa FastestIsa() { return kernels::SupportedIsas().back(); }

StepResult RunOk(Pipeline& pipeline, Step step) { return pipeline.Run(std::move(step)).value(); }

Error RunFails(Pipeline& pipeline, Step step) { return pipeline.Run(std::move(step)).error(); }

Step StepOf(std::vector<SessionOpen> opens, std::vector<Slice> slices) {
  Step step;
  step.opens = std::move(opens);
  step.slices = std::move(slices);
  return step;
}

std::vector<int32_t> Prompt(int32_t count) {
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.push_back(i * 37 % 96);
  return tokens;
}

class StageTypeTest : public ::testing::TestWithParam<TensorType> {};

void ExpectSameBitsHoweverCut(const SmallModel& model, const std::vector<int32_t>& prompt) {
  const auto file = model.Make();
  Pipeline whole(file, {}, FastestIsa(), 1);
  const auto expected = LogitsOf(whole, prompt, 1024);
  for (const auto& row : expected) {
    for (float logit : row) ASSERT_TRUE(std::isfinite(logit));
  }
  Pipeline cut(file, {1}, FastestIsa(), 2);
  EXPECT_EQ(expected, LogitsOf(cut, prompt, 29));
  Pipeline reference(file, {}, kernels::Isa::kReference, 2);
  EXPECT_EQ(expected, LogitsOf(reference, prompt, 270));
}

TEST_P(StageTypeTest, HasTheSameBitsHoweverCut) {
  ExpectSameBitsHoweverCut(SmallModel("llama", GetParam()), Prompt(45));
}

TEST_P(StageTypeTest, ExpertsHaveTheSameBitsHoweverCut) {
  SmallModel model("llama", GetParam());
  model.UseExperts(5, 2);
  ExpectSameBitsHoweverCut(model, Prompt(45));
}

// Several batches within a stage, many KV pages, tiles of queries with a rest.
TEST(StageTest, LongPromptsHaveTheSameBitsHoweverCut) {
  ExpectSameBitsHoweverCut(SmallModel("llama", TensorType::kQ4_1), Prompt(301));
}

INSTANTIATE_TEST_SUITE_P(Types, StageTypeTest,
                         ::testing::Values(TensorType::kF32, TensorType::kF16, TensorType::kBF16,
                                           TensorType::kQ4_0, TensorType::kQ4_1, TensorType::kQ5_0,
                                           TensorType::kQ5_1, TensorType::kQ8_0,
                                           TensorType::kIQ4_NL, TensorType::kQ2_K,
                                           TensorType::kQ3_K, TensorType::kQ4_K, TensorType::kQ5_K,
                                           TensorType::kQ6_K, TensorType::kIQ4_XS),
                         [](const auto& test) { return std::string(InfoOf(test.param).name); });

TEST(StageTest, MatricesOfDifferentTypesInOneLayer) {
  SmallModel model("llama", TensorType::kQ4_K);
  model.tensors["blk.1.attn_v.weight"].type = TensorType::kQ8_0;
  model.tensors["blk.1.attn_k.weight"].type = TensorType::kF32;
  model.tensors["blk.2.ffn_up.weight"].type = TensorType::kQ4_0;
  model.tensors["blk.2.ffn_down.weight"].type = TensorType::kQ6_K;
  Pipeline fast(model.Make(), {}, FastestIsa(), 2);
  Pipeline reference(model.Make(), {}, kernels::Isa::kReference, 1);
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(LogitsOf(fast, tokens, 3), LogitsOf(reference, tokens, 1024));
}

TEST(StageTest, SamplingWithHistoryIsTheSameInOneStageAndInTwo) {
  SamplingParams sampling;
  sampling.temperature = 0.9f;
  sampling.top_p = 0.95f;
  sampling.repetition_penalty = 1.3f;
  sampling.frequency_penalty = 0.5f;
  sampling.seed = 11;
  const auto answer = [&](const std::vector<int32_t>& cuts) {
    Pipeline pipeline(SmallModel().Make(), cuts, FastestIsa(), 1);
    SessionOpen open = OpenOf(1, 40, sampling);
    open.prompt_tokens = 4;
    Step step = StepOf({open}, {SliceOf(1, 0, {9, 8, 7, 6}, Output::kSample)});
    std::vector<int32_t> tokens;
    while (tokens.size() < 20) {
      const StepResult result = RunOk(pipeline, step);
      EXPECT_THAT(result.tokens, SizeIs(1));
      EXPECT_THAT(result.timings, SizeIs(cuts.size() + 1));
      tokens.push_back(result.tokens[0].token);
      step = StepOf({}, {SliceOf(1, result.tokens[0].position, {tokens.back()}, Output::kSample)});
    }
    return tokens;
  };
  EXPECT_EQ(answer({}), answer({1}));
}

TEST(StageTest, TokensTravelOnOnlyWhereTheLastStageNeedsThem) {
  SamplingParams penalties;
  penalties.presence_penalty = 1;
  Pipeline pipeline(SmallModel().Make(), {1}, FastestIsa(), 1);
  Step step = StepOf({OpenOf(1, 8), OpenOf(2, 8, penalties)},
                     {SliceOf(1, 0, {5, 6}, Output::kSample), SliceOf(2, 0, {7}, Output::kSample)});
  StepResult result;
  ASSERT_TRUE(pipeline.stage(0).Run(step, result, NowNs).ok());
  EXPECT_THAT(step.slices[0].tokens, SizeIs(0));
  EXPECT_THAT(step.slices[1].tokens, SizeIs(1));
  EXPECT_THAT(step.activations, SizeIs(3 * 256));
  EXPECT_THAT(step.timings, SizeIs(1));
  EXPECT_THAT(result.tokens, SizeIs(0));

  Step without_history = step;
  without_history.slices[1].tokens.clear();
  const Status status = pipeline.stage(1).Run(without_history, result, NowNs);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("session 2"));
}

TEST(StageTest, AnswersOnlyTheRowsAskedFor) {
  Pipeline pipeline(SmallModel().Make(), {}, FastestIsa(), 1);
  Step step =
      StepOf({OpenOf(1, 8), OpenOf(2, 8), OpenOf(3, 8)},
             {SliceOf(1, 0, {1, 2, 3}, Output::kNone), SliceOf(2, 0, {4, 5}, Output::kSample),
              SliceOf(3, 0, {6, 7}, Output::kLogits)});
  step.epoch = {3};
  step.id = {4};
  const StepResult result = RunOk(pipeline, step);
  ASSERT_THAT(result.tokens, SizeIs(1));
  EXPECT_EQ(result.tokens[0].session, SessionId{2});
  EXPECT_EQ(result.tokens[0].position, 2);
  ASSERT_THAT(result.logits, SizeIs(2));
  EXPECT_EQ(result.logits[1].session, SessionId{3});
  EXPECT_EQ(result.logits[1].position, 1);
  EXPECT_THAT(result.logits[1].logits, SizeIs(96));
  EXPECT_EQ(result.epoch, Epoch{3});
  EXPECT_EQ(result.id, StepId{4});
  EXPECT_TRUE(result.last);
}

// What a step does wrong, in a pipeline with sessions 1 (2 of 8 positions used) and 2 (unused).
struct BadStep {
  std::string name;
  Step step;
  ErrorCode code;
  std::vector<std::string> message_parts;
};

class BadStepTest : public ::testing::TestWithParam<BadStep> {};

TEST_P(BadStepTest, FailsByNameAndLeavesOtherSessionsAsTheyWere) {
  Pipeline pipeline(SmallModel().Make(), {}, FastestIsa(), 1);
  RunOk(pipeline,
        StepOf({OpenOf(1, 8), OpenOf(2, 8), OpenOf(99, 8)},
               {SliceOf(1, 0, {1, 2}, Output::kNone), SliceOf(99, 0, {1, 2, 3}, Output::kNone)}));
  const Error error = RunFails(pipeline, GetParam().step);
  EXPECT_EQ(error.code, GetParam().code) << error.message;
  for (const std::string& part : GetParam().message_parts) {
    EXPECT_THAT(error.message, HasSubstr(part));
  }
  // Whoever had a slice is unusable until closed, even if the slice itself was right.
  for (const Slice& slice : GetParam().step.slices) {
    if (slice.session.value > 2) continue;
    const int32_t next = slice.session.value == 1 ? 2 : 0;
    EXPECT_THAT(
        RunFails(pipeline, StepOf({}, {SliceOf(slice.session.value, next, {1}, Output::kNone)}))
            .message,
        HasSubstr("close it"));
  }
  Pipeline fresh(SmallModel().Make(), {}, FastestIsa(), 1);
  const StepResult expected =
      RunOk(fresh, StepOf({OpenOf(99, 8)}, {SliceOf(99, 0, {1, 2, 3, 4}, Output::kLogits)}));
  const StepResult bystander = RunOk(pipeline, StepOf({}, {SliceOf(99, 3, {4}, Output::kLogits)}));
  EXPECT_EQ(bystander.logits[0].logits, expected.logits[3].logits);

  Step close;
  close.closes = {{1}, {2}, {99}};
  RunOk(pipeline, close);
  EXPECT_EQ(pipeline.stage(0).open_sessions(), 0u);
  EXPECT_EQ(pipeline.stage(0).memory().kv_bytes, 0);
}

Step WithActivations(Step step) {
  step.activations = {1};
  return step;
}
Step WithTokenCount(Step step, int32_t count) {
  step.slices[0].token_count = count;
  return step;
}

const BadStep kBadSteps[] = {
    {"UnknownSession",
     StepOf({}, {SliceOf(5, 0, {1}, Output::kNone)}),
     ErrorCode::kNotFound,
     {"session 5"}},
    {"WrongPosition",
     StepOf({}, {SliceOf(1, 3, {1}, Output::kNone)}),
     ErrorCode::kInvalidArgument,
     {"session 1", "expected position 2", "3"}},
    {"RepeatedPosition",
     StepOf({}, {SliceOf(1, 0, {1}, Output::kNone)}),
     ErrorCode::kInvalidArgument,
     {"session 1", "expected position 2", "0"}},
    {"MoreThanGranted",
     StepOf({}, {SliceOf(1, 2, {1, 2, 3, 4, 5, 6, 7}, Output::kNone)}),
     ErrorCode::kResourceExhausted,
     {"session 1", "7 tokens", "8"}},
    {"TokenTooLarge",
     StepOf({}, {SliceOf(1, 2, {96}, Output::kNone)}),
     ErrorCode::kInvalidArgument,
     {"session 1", "token id 96", "vocabulary of 96"}},
    {"TokenNegative",
     StepOf({}, {SliceOf(2, 0, {3}, Output::kNone), SliceOf(1, 2, {-1}, Output::kNone)}),
     ErrorCode::kInvalidArgument,
     {"session 1", "token id -1"}},
    {"NoTokens",
     StepOf({}, {SliceOf(1, 2, {}, Output::kNone)}),
     ErrorCode::kInvalidArgument,
     {"session 1", "0 tokens"}},
    {"FewerIdsThanTokens",
     WithTokenCount(StepOf({}, {SliceOf(1, 2, {1}, Output::kNone)}), 2),
     ErrorCode::kInvalidArgument,
     {"session 1", "2 tokens", "1 token ids"}},
    {"HugeSlice",
     WithTokenCount(StepOf({}, {SliceOf(1, 2, {1}, Output::kNone)}), 0x7fffffff),
     ErrorCode::kInvalidArgument,
     {"1024", "2147483647"}},
    {"ActivationsOnTheWayIn",
     WithActivations(StepOf({}, {SliceOf(1, 2, {1}, Output::kNone)})),
     ErrorCode::kInvalidArgument,
     {"activations", "expected 0", "1"}},
    {"TwoSlicesOfOneSession",
     StepOf({}, {SliceOf(1, 2, {1}, Output::kNone), SliceOf(1, 3, {1}, Output::kNone)}),
     ErrorCode::kInvalidArgument,
     {"session 1", "two slices"}},
    {"OpenTwice",
     StepOf({OpenOf(1, 8)}, {SliceOf(2, 0, {1}, Output::kNone)}),
     ErrorCode::kFailedPrecondition,
     {"session 1", "open already"}},
    {"OpenOfNothing", StepOf({OpenOf(7, 0)}, {}), ErrorCode::kInvalidArgument, {"session 7", "0"}},
    {"OpenOfTooMuch",
     StepOf({OpenOf(7, 1 << 21)}, {}),
     ErrorCode::kInvalidArgument,
     {"session 7", "2097152"}},
};

INSTANTIATE_TEST_SUITE_P(Steps, BadStepTest, ::testing::ValuesIn(kBadSteps),
                         [](const auto& test) { return test.param.name; });

TEST(StageTest, ActivationsOfTheWrongSizeAreRefused) {
  Pipeline pipeline(SmallModel().Make(), {1}, FastestIsa(), 1);
  Step step = StepOf({OpenOf(1, 8)}, {SliceOf(1, 0, {1, 2}, Output::kNone)});
  StepResult result;
  ASSERT_TRUE(pipeline.stage(0).Run(step, result, NowNs).ok());
  step.activations.pop_back();
  const Status status = pipeline.stage(1).Run(step, result, NowNs);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("expected 512 values for 2 tokens, not 511"));
}

TEST(StageTest, HostileActivationsStayInTheirSession) {
  Pipeline pipeline(SmallModel("llama", TensorType::kQ4_0).Make(), {1}, FastestIsa(), 1);
  Pipeline alone(SmallModel("llama", TensorType::kQ4_0).Make(), {1}, FastestIsa(), 1);
  const StepResult expected =
      RunOk(alone, StepOf({OpenOf(2, 8)}, {SliceOf(2, 0, {3}, Output::kLogits)}));
  Step step = StepOf({OpenOf(1, 8), OpenOf(2, 8)},
                     {SliceOf(1, 0, {1}, Output::kSample), SliceOf(2, 0, {3}, Output::kLogits)});
  StepResult result;
  ASSERT_TRUE(pipeline.stage(0).Run(step, result, NowNs).ok());
  for (size_t i = 0; i < 256; ++i) {
    const float hostile[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f};
    step.activations[i] = hostile[i % 6];
  }
  ASSERT_TRUE(pipeline.stage(1).Run(step, result, NowNs).ok());
  EXPECT_EQ(result.logits[0].logits, expected.logits[0].logits);
  EXPECT_GE(result.tokens[0].token, 0);
  EXPECT_LT(result.tokens[0].token, 96);
}

TEST(StageTest, SessionsBeyondTheBudgetAreRefusedUntilOthersClose) {
  // A page: 2 * 2 kv heads * 64 * 32 positions * 2 bytes = 16 KiB; 3 layers; room for 10 per layer.
  constexpr int64_t kPage = 16 << 10;
  Pipeline pipeline(SmallModel().Make(), {}, FastestIsa(), 1, 3 * 10 * kPage);
  Stage& stage = pipeline.stage(0);
  RunOk(pipeline, StepOf({OpenOf(1, 6 * 32), OpenOf(2, 3 * 32 + 1)}, {}));
  EXPECT_EQ(stage.memory().kv_bytes, 0);
  const Error error = RunFails(pipeline, StepOf({OpenOf(3, 1)}, {}));
  EXPECT_EQ(error.code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(error.message, HasSubstr("session 3"));
  EXPECT_THAT(error.message, HasSubstr("491520"));

  RunOk(pipeline, StepOf({}, {SliceOf(1, 0, std::vector<int32_t>(33, 1), Output::kNone)}));
  EXPECT_EQ(stage.memory().kv_bytes, 3 * 2 * kPage);
  Step step = StepOf({OpenOf(3, 6 * 32)}, {SliceOf(3, 0, {1}, Output::kNone)});
  step.closes = {{1}};  // comes first, so 3 fits
  RunOk(pipeline, step);
  EXPECT_EQ(stage.memory().kv_bytes, 3 * kPage);

  // An open that fails takes the step's other opens with it.
  step = StepOf({OpenOf(4, 1), OpenOf(5, 400)}, {});
  step.closes = {{2}};
  EXPECT_THAT(RunFails(pipeline, step).message, HasSubstr("session 5"));
  EXPECT_EQ(stage.open_sessions(), 1u);
  stage.CloseAll();
  EXPECT_EQ(stage.open_sessions(), 0u);
  EXPECT_EQ(stage.memory().kv_bytes, 0);
}

TEST(StageTest, ASessionDoesNotSeeWhatItsPagesHeldBefore) {
  Pipeline pipeline(SmallModel().Make(), {}, FastestIsa(), 1, 3 * (2 << 20));
  const std::vector<int32_t> tokens = {4, 8, 15, 16, 23, 42};
  const auto expected = LogitsOf(pipeline, tokens, 6);
  LogitsOf(pipeline, Prompt(301), 301);
  EXPECT_EQ(LogitsOf(pipeline, tokens, 6), expected);
}

// Loading.

struct BadFile {
  std::string name;
  std::string architecture;
  std::function<void(SmallModel&)> damage;
  std::vector<std::string> message_parts;
};

class BadFileTest : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadFileTest, IsRefusedByName) {
  SmallModel model(GetParam().architecture);
  GetParam().damage(model);
  const auto file = model.Make();
  const ModelConfig config = ReadModelConfig(*file).value();
  ThreadPool pool(1);
  StageOptions options;
  options.range = {0, 3};
  const auto stage = Stage::Load(file, config, options, kernels::TableFor(kernels::Isa::kReference),
                                 pool, nullptr);
  ASSERT_FALSE(stage.ok());
  for (const std::string& part : GetParam().message_parts) {
    EXPECT_THAT(stage.error().message, HasSubstr(part));
  }
}

const BadFile kBadFiles[] = {
    {"MissingMatrix",
     "llama",
     [](SmallModel& m) { m.tensors.erase("blk.1.ffn_up.weight"); },
     {"blk.1.ffn_up.weight"}},
    {"MissingNorm",
     "llama",
     [](SmallModel& m) { m.tensors.erase("output_norm.weight"); },
     {"output_norm.weight"}},
    {"WrongShape",
     "llama",
     [](SmallModel& m) {
       m.tensors["blk.2.attn_k.weight"].shape = {256, 256};
     },
     {"blk.2.attn_k.weight: expected shape [256, 128], the file has [256, 256]"}},
    {"WrongNorm",
     "llama",
     [](SmallModel& m) { m.tensors["blk.0.ffn_norm.weight"].shape = {255}; },
     {"blk.0.ffn_norm.weight: expected shape [256], the file has [255]"}},
    {"Qwen2WithoutBias", "qwen2", [](SmallModel&) {}, {"blk.0.attn_q.bias"}},
    {"Qwen3WithoutHeadNorm", "qwen3", [](SmallModel&) {}, {"blk.0.attn_q_norm.weight"}},
    {"UnknownTensor",
     "llama",
     [](SmallModel& m) {
       m.tensors["blk.1.attn_sub_norm.weight"] = {TensorType::kF32, {256}};
     },
     {"blk.1.attn_sub_norm.weight", "not supported"}},
    {"Gemma2WithoutPostNorms",
     "gemma2",
     [](SmallModel& m) { m.Set("attention.sliding_window", 8); },
     {"blk.0.post_attention_norm.weight"}},
    {"Phi3WithoutFusedGate",
     "phi3",
     [](SmallModel&) {},
     {"blk.0.ffn_up.weight: expected shape [256, 512], the file has [256, 256]"}},
    {"FusedQkvOfAnotherWidth",
     "llama",
     [](SmallModel& m) {
       m.tensors["blk.1.attn_qkv.weight"] = {TensorType::kF32, {256, 500}};
     },
     {"blk.1.attn_qkv.weight: expected shape [256, 512], the file has [256, 500]"}},
    {"ExpertsWithoutTensors",
     "llama",
     [](SmallModel& m) {
       m.Set("expert_count", 4);
       m.Set("expert_used_count", 2);
     },
     {"blk.0.ffn_gate_inp.weight"}},
    {"OtherExpertCountThanTheMetadata",
     "llama",
     [](SmallModel& m) {
       m.UseExperts(4, 2);
       m.tensors["blk.2.ffn_down_exps.weight"].shape[2] = 3;
     },
     {"blk.2.ffn_down_exps.weight: expected shape [256, 256, 4], the file has [256, 256, 3]"}},
    {"RouterOfAnotherExpertCount",
     "llama",
     [](SmallModel& m) {
       m.UseExperts(4, 2);
       m.tensors["blk.0.ffn_gate_inp.weight"].shape[1] = 5;
     },
     {"blk.0.ffn_gate_inp.weight: expected shape [256, 4], the file has [256, 5]"}},
    {"HeadOfAnotherVocabulary",
     "llama",
     [](SmallModel& m) {
       m.tensors["output.weight"].shape = {256, 95};
     },
     {"output.weight: expected shape [256, 96], the file has [256, 95]"}},
};

INSTANTIATE_TEST_SUITE_P(Files, BadFileTest, ::testing::ValuesIn(kBadFiles),
                         [](const auto& test) { return test.param.name; });

// Only experts that tokens are routed to are read.
TEST(StageLoadTest, BytesPerTokenCountTheExpertsThatAreUsed) {
  const auto bytes_with = [](uint32_t experts, uint32_t used) {
    SmallModel model;
    model.UseExperts(experts, used);
    Pipeline pipeline(model.Make(), {}, kernels::Isa::kReference, 1);
    EXPECT_GE(pipeline.stage(0).memory().weights_bytes, pipeline.stage(0).weight_bytes_per_token());
    return pipeline.stage(0).weight_bytes_per_token();
  };
  constexpr int64_t kExpertBytes = 3 * 3 * 256 * 256 * 4;  // layers, matrices
  EXPECT_EQ(bytes_with(6, 2) - bytes_with(6, 1), kExpertBytes);
  EXPECT_EQ(bytes_with(6, 2) - bytes_with(3, 2), 3 * 3 * 256 * 4);  // rows of the routers
}

TEST(StageLoadTest, OptionalBiasesAreAdded) {
  SmallModel plain;
  SmallModel biased;
  for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
    const bool narrow = name[5] == 'k' || name[5] == 'v';
    biased.tensors[std::string("blk.1.") + name + ".bias"] = {TensorType::kF32,
                                                              {narrow ? 128 : 256}};
  }
  Pipeline without(plain.Make(), {}, FastestIsa(), 1);
  Pipeline with(biased.Make(), {}, FastestIsa(), 1);
  EXPECT_NE(LogitsOf(without, {1, 2}, 2), LogitsOf(with, {1, 2}, 2));
}

TEST(StageLoadTest, RangesOutsideTheModelAreRefused) {
  const auto file = SmallModel().Make();
  const ModelConfig config = ReadModelConfig(*file).value();
  ThreadPool pool(1);
  for (const LayerRange range : {LayerRange{0, 4}, {-1, 2}, {2, 2}, {2, 1}}) {
    StageOptions options;
    options.range = range;
    const auto stage = Stage::Load(file, config, options,
                                   kernels::TableFor(kernels::Isa::kReference), pool, nullptr);
    ASSERT_FALSE(stage.ok());
    EXPECT_THAT(stage.error().message, HasSubstr("[0, 3)"));
  }
}

TEST(StageLoadTest, ReportsProgressAndMemoryOfItsOwnTensorsOnly) {
  const auto file = SmallModel("llama", TensorType::kQ4_0).Make();
  const ModelConfig config = ReadModelConfig(*file).value();
  ThreadPool pool(2);
  const kernels::KernelTable& table = kernels::TableFor(FastestIsa());
  int64_t sum = 0;
  for (const LayerRange range : {LayerRange{0, 1}, LayerRange{1, 3}}) {
    LoadProgress progress;
    StageOptions options;
    options.range = range;
    const auto stage = Stage::Load(file, config, options, table, pool, &progress).value();
    EXPECT_EQ(progress.bytes_done, progress.bytes_total);
    sum += progress.bytes_total;
    EXPECT_GE(stage->memory().weights_bytes, progress.bytes_total);
    EXPECT_GE(stage->weight_bytes_per_token(), progress.bytes_total);
    EXPECT_GT(stage->memory().buffer_bytes, 0);
  }
  // q, o, gate, up, down [256, 256], k, v [128, 256] and the head; 18 bytes per 32 values.
  EXPECT_EQ(sum, (3 * (5 * 256 + 2 * 128) + 96) * 256 / 32 * 18);
}

}  // namespace
}  // namespace shoal::testing
