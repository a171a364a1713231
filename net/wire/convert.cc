#include "net/wire/convert.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <utility>

namespace shoal {

namespace {

constexpr int64_t kMaxVocab = 1 << 22;
constexpr int32_t kMaxTimings = 256;
constexpr int64_t kMaxTimingNs = int64_t{86'400} * 1'000'000'000;

Status CheckRange(const char* field, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return OkStatus();
  return InvalidArgument(fmt::format("{}: {} is outside [{}, {}]", field, value, least, most));
}

Status CheckFinite(const char* field, float value, float least, float most) {
  if (std::isfinite(value) && value >= least && value <= most) return OkStatus();
  return InvalidArgument(fmt::format("{}: {} is outside [{}, {}]", field, value, least, most));
}

std::string FloatsToBytes(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

Result<std::vector<float>> BytesToFloats(const char* field, const std::string& bytes) {
  if (bytes.size() % sizeof(float) != 0) {
    return InvalidArgument(
        fmt::format("{}: {} bytes are not whole f32 values", field, bytes.size()));
  }
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

Result<SamplingParams> SamplingFromMessage(const v1::SamplingMessage& message) {
  constexpr float kMost = 1e6F;
  RETURN_IF_ERROR(CheckFinite("sampling.temperature", message.temperature(), 0, kMost));
  RETURN_IF_ERROR(CheckFinite("sampling.top_p", message.top_p(), 0, 1));
  RETURN_IF_ERROR(CheckFinite("sampling.min_p", message.min_p(), 0, 1));
  RETURN_IF_ERROR(
      CheckFinite("sampling.repetition_penalty", message.repetition_penalty(), 1e-3F, kMost));
  RETURN_IF_ERROR(
      CheckFinite("sampling.presence_penalty", message.presence_penalty(), -kMost, kMost));
  RETURN_IF_ERROR(
      CheckFinite("sampling.frequency_penalty", message.frequency_penalty(), -kMost, kMost));
  RETURN_IF_ERROR(CheckRange("sampling.top_k", message.top_k(), 0, kMaxVocab));
  RETURN_IF_ERROR(
      CheckRange("sampling.logprobs", message.logprobs(), -1, StepLimits::kMaxLogprobs));
  RETURN_IF_ERROR(CheckRange("sampling.bias_tokens count", message.bias_tokens_size(), 0,
                             StepLimits::kMaxLogitBias));
  RETURN_IF_ERROR(CheckRange("sampling.bias_values count", message.bias_values_size(),
                             message.bias_tokens_size(), message.bias_tokens_size()));
  SamplingParams params;
  params.temperature = message.temperature();
  params.top_k = message.top_k();
  params.top_p = message.top_p();
  params.min_p = message.min_p();
  params.repetition_penalty = message.repetition_penalty();
  params.presence_penalty = message.presence_penalty();
  params.frequency_penalty = message.frequency_penalty();
  params.seed = message.seed();
  params.logprobs = message.logprobs();
  for (int i = 0; i < message.bias_tokens_size(); ++i) {
    RETURN_IF_ERROR(CheckRange("sampling.bias_tokens", message.bias_tokens(i), 0, kMaxVocab));
    RETURN_IF_ERROR(CheckFinite("sampling.bias_values", message.bias_values(i), -kMost, kMost));
    params.logit_bias.emplace_back(message.bias_tokens(i), message.bias_values(i));
  }
  return params;
}

void SamplingToMessage(const SamplingParams& params, v1::SamplingMessage& message) {
  message.set_temperature(params.temperature);
  message.set_top_k(params.top_k);
  message.set_top_p(params.top_p);
  message.set_min_p(params.min_p);
  message.set_repetition_penalty(params.repetition_penalty);
  message.set_presence_penalty(params.presence_penalty);
  message.set_frequency_penalty(params.frequency_penalty);
  message.set_seed(params.seed);
  message.set_logprobs(params.logprobs);
  for (const auto& [token, bias] : params.logit_bias) {
    message.add_bias_tokens(token);
    message.add_bias_values(bias);
  }
}

Result<SessionOpen> OpenFromMessage(const v1::SessionOpenMessage& message) {
  RETURN_IF_ERROR(CheckRange("open.context_tokens", message.context_tokens(), 1,
                             StepLimits::kMaxContextTokens));
  RETURN_IF_ERROR(
      CheckRange("open.prompt_tokens", message.prompt_tokens(), 0, message.context_tokens()));
  SessionOpen open;
  open.session = SessionId{message.session()};
  open.context_tokens = message.context_tokens();
  open.prompt_tokens = message.prompt_tokens();
  ASSIGN_OR_RETURN(open.sampling, SamplingFromMessage(message.sampling()));
  return open;
}

Result<Slice> SliceFromMessage(const v1::SliceMessage& message) {
  RETURN_IF_ERROR(
      CheckRange("slice.position", message.position(), 0, StepLimits::kMaxContextTokens));
  RETURN_IF_ERROR(
      CheckRange("slice.token_count", message.token_count(), 1, StepLimits::kMaxTokens));
  RETURN_IF_ERROR(CheckRange("slice.output", message.output(), 0, 2));
  if (message.tokens_size() != 0) {
    RETURN_IF_ERROR(CheckRange("slice.tokens count", message.tokens_size(), message.token_count(),
                               message.token_count()));
  }
  for (const int32_t token : message.tokens()) {
    RETURN_IF_ERROR(CheckRange("slice.tokens", token, 0, kMaxVocab));
  }
  Slice slice;
  slice.session = SessionId{message.session()};
  slice.position = message.position();
  slice.token_count = message.token_count();
  slice.output = static_cast<Output>(message.output());
  slice.tokens.assign(message.tokens().begin(), message.tokens().end());
  return slice;
}

template <typename Message>
Result<std::vector<StageTiming>> TimingsFromMessage(const Message& message) {
  RETURN_IF_ERROR(CheckRange("timings count", message.timings_size(), 0, kMaxTimings));
  std::vector<StageTiming> timings;
  for (const v1::StageTimingMessage& timing : message.timings()) {
    RETURN_IF_ERROR(CheckRange("timing.stage", timing.stage(), 0, kMaxTimings));
    RETURN_IF_ERROR(CheckRange("timing.compute_ns", timing.compute_ns(), 0, kMaxTimingNs));
    timings.push_back({timing.stage(), timing.compute_ns()});
  }
  return timings;
}

template <typename Message>
void TimingsToMessage(const std::vector<StageTiming>& timings, Message& message) {
  for (const StageTiming& timing : timings) {
    v1::StageTimingMessage* out = message.add_timings();
    out->set_stage(timing.stage);
    out->set_compute_ns(timing.compute_ns);
  }
}

Result<SampledToken> TokenFromMessage(const v1::SampledTokenMessage& message) {
  RETURN_IF_ERROR(
      CheckRange("token.position", message.position(), 0, StepLimits::kMaxContextTokens));
  RETURN_IF_ERROR(CheckRange("token.token", message.token(), 0, kMaxVocab));
  RETURN_IF_ERROR(CheckRange("token.top count", message.top_size(), 0, StepLimits::kMaxLogprobs));
  SampledToken token;
  token.session = SessionId{message.session()};
  token.position = message.position();
  token.token = message.token();
  token.logprob = message.logprob();
  for (const v1::TokenLogprobMessage& top : message.top()) {
    RETURN_IF_ERROR(CheckRange("token.top.token", top.token(), 0, kMaxVocab));
    token.top.push_back({top.token(), top.logprob()});
  }
  return token;
}

}  // namespace

void StepToMessage(const Step& step, v1::StepMessage& message, ActivationCodec codec) {
  message.Clear();
  message.set_epoch(step.epoch.value);
  message.set_step(step.id.value);
  for (const SessionId close : step.closes) message.add_closes(close.value);
  for (const SessionOpen& open : step.opens) {
    v1::SessionOpenMessage* out = message.add_opens();
    out->set_session(open.session.value);
    out->set_context_tokens(open.context_tokens);
    out->set_prompt_tokens(open.prompt_tokens);
    SamplingToMessage(open.sampling, *out->mutable_sampling());
  }
  for (const Slice& slice : step.slices) {
    v1::SliceMessage* out = message.add_slices();
    out->set_session(slice.session.value);
    out->set_position(slice.position);
    out->set_token_count(slice.token_count);
    out->set_output(static_cast<v1::OutputMessage>(slice.output));
    out->mutable_tokens()->Assign(slice.tokens.begin(), slice.tokens.end());
  }
  const int32_t tokens = step.token_count();
  const int32_t width = tokens == 0 ? 0 : static_cast<int32_t>(step.activations.size()) / tokens;
  message.set_activations(EncodeActivations(codec, step.activations, width));
  TimingsToMessage(step.timings, message);
}

Result<Step> StepFromMessage(const v1::StepMessage& message, int32_t model_dim,
                             ActivationCodec codec) {
  RETURN_IF_ERROR(CheckRange("closes count", message.closes_size(), 0, StepLimits::kMaxCloses));
  RETURN_IF_ERROR(CheckRange("opens count", message.opens_size(), 0, StepLimits::kMaxOpens));
  RETURN_IF_ERROR(CheckRange("slices count", message.slices_size(), 0, StepLimits::kMaxSlices));
  Step step;
  step.epoch = Epoch{message.epoch()};
  step.id = StepId{message.step()};
  for (const uint64_t close : message.closes()) step.closes.push_back(SessionId{close});
  for (const v1::SessionOpenMessage& open : message.opens()) {
    ASSIGN_OR_RETURN(SessionOpen converted, OpenFromMessage(open));
    step.opens.push_back(std::move(converted));
  }
  int64_t tokens = 0;
  for (const v1::SliceMessage& slice : message.slices()) {
    ASSIGN_OR_RETURN(Slice converted, SliceFromMessage(slice));
    tokens += converted.token_count;
    step.slices.push_back(std::move(converted));
  }
  RETURN_IF_ERROR(CheckRange("tokens of all slices", tokens, 0, StepLimits::kMaxTokens));
  ASSIGN_OR_RETURN(step.activations,
                   DecodeActivations(codec, message.activations(), tokens, model_dim));
  ASSIGN_OR_RETURN(step.timings, TimingsFromMessage(message));
  return step;
}

void ResultToMessage(const StepResult& result, v1::StepResultMessage& message) {
  message.Clear();
  message.set_epoch(result.epoch.value);
  message.set_step(result.id.value);
  message.set_last(result.last);
  for (const SampledToken& token : result.tokens) {
    v1::SampledTokenMessage* out = message.add_tokens();
    out->set_session(token.session.value);
    out->set_position(token.position);
    out->set_token(token.token);
    out->set_logprob(token.logprob);
    for (const TokenLogprob& top : token.top) {
      v1::TokenLogprobMessage* entry = out->add_top();
      entry->set_token(top.token);
      entry->set_logprob(top.logprob);
    }
  }
  for (const LogitsRow& row : result.logits) {
    v1::LogitsRowMessage* out = message.add_logits();
    out->set_session(row.session.value);
    out->set_position(row.position);
    out->set_logits(FloatsToBytes(row.logits));
  }
  TimingsToMessage(result.timings, message);
}

Result<StepResult> ResultFromMessage(const v1::StepResultMessage& message) {
  RETURN_IF_ERROR(CheckRange("tokens count", message.tokens_size(), 0, StepLimits::kMaxSlices));
  RETURN_IF_ERROR(CheckRange("logits count", message.logits_size(), 0, StepLimits::kMaxTokens));
  StepResult result;
  result.epoch = Epoch{message.epoch()};
  result.id = StepId{message.step()};
  result.last = message.last();
  for (const v1::SampledTokenMessage& token : message.tokens()) {
    ASSIGN_OR_RETURN(SampledToken converted, TokenFromMessage(token));
    result.tokens.push_back(std::move(converted));
  }
  for (const v1::LogitsRowMessage& row : message.logits()) {
    RETURN_IF_ERROR(
        CheckRange("logits.position", row.position(), 0, StepLimits::kMaxContextTokens));
    LogitsRow converted{SessionId{row.session()}, row.position(), {}};
    ASSIGN_OR_RETURN(converted.logits, BytesToFloats("logits", row.logits()));
    result.logits.push_back(std::move(converted));
  }
  ASSIGN_OR_RETURN(result.timings, TimingsFromMessage(message));
  return result;
}

}  // namespace shoal
