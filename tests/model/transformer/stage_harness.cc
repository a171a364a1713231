#include "tests/model/transformer/stage_harness.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/clock.h"

namespace shoal::testing {

namespace {

std::string PathOf(const std::string& name, const std::string& extension) {
  return std::string(SHOAL_TEST_DATA) + "/tiny-models/tiny-" + name + extension;
}

}  // namespace

std::shared_ptr<const GgufFile> OpenTinyModel(const std::string& name) {
  return std::make_shared<const GgufFile>(GgufFile::Open(PathOf(name, ".gguf")).value());
}

Golden ReadGolden(const std::string& name) {
  std::ifstream in(PathOf(name, ".json"));
  const nlohmann::json json = nlohmann::json::parse(in);
  Golden golden;
  golden.context = json.value("context", golden.context);
  golden.tokens = json.at("tokens").get<std::vector<int32_t>>();
  golden.greedy = json.at("greedy").get<std::vector<int32_t>>();
  for (const auto& position : json.at("positions")) {
    golden.logits.push_back(position.at("logits").get<std::vector<float>>());
  }
  return golden;
}

Pipeline::Pipeline(std::shared_ptr<const GgufFile> file, const std::vector<int32_t>& cuts,
                   kernels::Isa isa, int threads, int64_t kv_budget_bytes, TensorType kv_type)
    : pool_(threads) {
  const ModelConfig config = ReadModelConfig(*file).value();
  std::vector<int32_t> ends = cuts;
  ends.push_back(config.layers);
  int32_t begin = 0;
  for (int32_t end : ends) {
    StageOptions options;
    options.range = {begin, end};
    options.stage_index = static_cast<int32_t>(stages_.size());
    options.kv_type = kv_type;
    options.kv_budget_bytes = kv_budget_bytes;
    stages_.push_back(
        Stage::Load(file, config, options, kernels::TableFor(isa), pool_, nullptr).value());
    begin = end;
  }
}

Result<StepResult> Pipeline::Run(Step step) {
  StepResult result;
  for (const std::unique_ptr<Stage>& stage : stages_) {
    RETURN_IF_ERROR(stage->Run(step, result, NowNs));
  }
  return result;
}

SessionOpen OpenOf(uint64_t session, int32_t context_tokens, SamplingParams sampling) {
  SessionOpen open;
  open.session = {session};
  open.context_tokens = context_tokens;
  open.sampling = std::move(sampling);
  return open;
}

Slice SliceOf(uint64_t session, int32_t position, std::vector<int32_t> tokens, Output output) {
  Slice slice;
  slice.session = {session};
  slice.position = position;
  slice.token_count = static_cast<int32_t>(tokens.size());
  slice.output = output;
  slice.tokens = std::move(tokens);
  return slice;
}

std::vector<std::vector<float>> LogitsOf(Pipeline& pipeline, const std::vector<int32_t>& tokens,
                                         int32_t chunk, int32_t context_tokens) {
  constexpr uint64_t kSession = 1'000'000;
  const auto count = static_cast<int32_t>(tokens.size());
  std::vector<std::vector<float>> logits;
  for (int32_t begin = 0; begin < count; begin += chunk) {
    const int32_t end = std::min(count, begin + chunk);
    Step step;
    if (begin == 0) step.opens.push_back(OpenOf(kSession, std::max(count, context_tokens)));
    step.slices.push_back(
        SliceOf(kSession, begin, {tokens.begin() + begin, tokens.begin() + end}, Output::kLogits));
    StepResult result = pipeline.Run(std::move(step)).value();
    for (LogitsRow& row : result.logits) logits.push_back(std::move(row.logits));
  }
  Step close;
  close.closes.push_back({kSession});
  CHECK(pipeline.Run(std::move(close)).ok(), "closing a session never fails");
  return logits;
}

int64_t NowNs() {
  static const SteadyClock clock;
  return clock.NowNs();
}

}  // namespace shoal::testing
