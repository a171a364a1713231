#include "coordinator/api/request_parse.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "coordinator/api/chat_messages.h"
#include "coordinator/api/http_limits.h"
#include "coordinator/api/json_fields.h"
#include "coordinator/text_stream.h"

namespace shoal {

namespace {

using Json = nlohmann::ordered_json;

constexpr int32_t kMaxInt32 = INT32_MAX;

void ReadModel(FieldReader& fields, const ServedModel& model) {
  std::string asked;
  fields.String("model", asked);
  if (fields.Find("model") != nullptr && asked != model.id) {
    fields.Fail(ModelNotFound(asked, model.id));
  }
}

void ReadMaxTokens(FieldReader& fields, Endpoint endpoint, ParsedRequest& request) {
  int32_t max_tokens = 0;
  fields.Int("max_tokens", 1, kMaxInt32, max_tokens);
  if (endpoint == Endpoint::kChat) fields.Int("max_completion_tokens", 1, kMaxInt32, max_tokens);
  if (max_tokens > 0) request.max_tokens = max_tokens;
}

void ReadLogitBias(FieldReader& fields, const ServedModel& model, SamplingParams& sampling) {
  const Json* field = fields.Find("logit_bias");
  if (field == nullptr) return;
  if (!field->is_object()) return fields.FailType("logit_bias", "an object of token ids");
  const auto fail = [&](std::string message) {
    fields.Fail(BadRequest("logit_bias", "logit_bias: " + std::move(message)));
  };
  for (const auto& [key, value] : field->items()) {
    int32_t id = -1;
    const auto [end, problem] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (problem != std::errc() || end != key.data() + key.size() || id < 0 ||
        id >= model.vocab_size) {
      return fail(fmt::format("'{}' is not a token id in [0, {})", key, model.vocab_size));
    }
    if (!value.is_number()) return fail(fmt::format("the bias of {} is no number", key));
    const auto bias = value.get<double>();
    if (!(bias >= -100 && bias <= 100)) {
      return fail(fmt::format("the bias of {} is {}, not in [-100, 100]", key, bias));
    }
    sampling.logit_bias.emplace_back(id, static_cast<float>(bias));
  }
}

void ReadSampling(FieldReader& fields, const ServedModel& model, ParsedRequest& request) {
  SamplingParams& sampling = request.sampling;
  sampling.temperature = 1;  // OpenAI's default
  fields.Float("temperature", 0, 2, sampling.temperature);
  fields.Float("top_p", 0, 1, sampling.top_p);
  fields.Float("min_p", 0, 1, sampling.min_p);
  fields.Int("top_k", -1, kMaxInt32, sampling.top_k);  // -1 as elsewhere: off
  if (sampling.top_k < 0) sampling.top_k = 0;
  fields.Float("presence_penalty", -2, 2, sampling.presence_penalty);
  fields.Float("frequency_penalty", -2, 2, sampling.frequency_penalty);
  fields.Float("repetition_penalty", 0.01, 10, sampling.repetition_penalty);
  fields.Bits64("seed", request.seed);
  ReadLogitBias(fields, model, sampling);
}

void ReadChatLogprobs(FieldReader& fields, SamplingParams& sampling) {
  bool wanted = false;
  int32_t top = 0;
  fields.Bool("logprobs", wanted);
  fields.Int("top_logprobs", 0, StepLimits::kMaxLogprobs, top);
  if (fields.Find("top_logprobs") != nullptr && !wanted) {
    fields.Fail(BadRequest("top_logprobs", "top_logprobs: needs logprobs to be true"));
  }
  if (wanted) sampling.logprobs = top;
}

void ReadStop(FieldReader& fields, ParsedRequest& request) {
  const Json* field = fields.Find("stop");
  if (field == nullptr) return;
  const auto fail = [&](std::string message) {
    fields.Fail(BadRequest("stop", "stop: " + std::move(message)));
  };
  const Json list = field->is_array() ? *field : Json::array({*field});
  if (list.size() > TextLimits::kMaxStopStrings) {
    return fail(
        fmt::format("{} stop strings, the limit is {}", list.size(), TextLimits::kMaxStopStrings));
  }
  for (const Json& entry : list) {
    if (!entry.is_string()) return fields.FailType("stop", "a string or an array of strings");
    std::string text = entry.get<std::string>();
    if (text.empty()) return fail("a stop string is empty");
    if (text.size() > TextLimits::kMaxStopStringBytes) {
      return fail(fmt::format("a stop string has {} bytes, the limit is {}", text.size(),
                              TextLimits::kMaxStopStringBytes));
    }
    request.stop.push_back(std::move(text));
  }
}

void ReadStreaming(FieldReader& fields, ParsedRequest& request) {
  fields.Bool("stream", request.stream);
  const Json* options = fields.Find("stream_options");
  if (options == nullptr) return;
  if (!options->is_object()) return fields.FailType("stream_options", "an object");
  if (!request.stream) {
    return fields.Fail(BadRequest("stream_options", "stream_options: needs stream to be true"));
  }
  FieldReader nested(*options, "stream_options.");
  nested.Bool("include_usage", request.include_usage);
  if (!nested.ok()) fields.Fail(*nested.error());
}

void ReadTools(FieldReader& fields, ParsedRequest& request) {
  const Json* choice = fields.Find("tool_choice");
  if (choice != nullptr && *choice != "auto" && *choice != "none") {
    fields.Fail(
        NotSupported("tool_choice", "tool_choice: only \"auto\" and \"none\" are supported, not " +
                                        choice->dump().substr(0, 100)));
  }
  const Json* tools = fields.Find("tools");
  if (tools == nullptr) return;
  if (!tools->is_array()) return fields.FailType("tools", "an array of objects");
  for (const Json& tool : *tools) {
    if (!tool.is_object()) return fields.FailType("tools", "an array of objects");
  }
  if (!tools->empty() && (choice == nullptr || *choice != "none")) request.chat["tools"] = *tools;
}

// Fields that ask for another answer than this server can give.
void RefuseUnsupported(FieldReader& fields, const ParsedRequest& request) {
  if (const Json* format = fields.Find("response_format")) {
    if (!format->is_object()) return fields.FailType("response_format", "an object");
    if (format->value("type", Json()) != "text") {
      fields.Fail(NotSupported("response_format",
                               "response_format: only {\"type\": \"text\"} is supported"));
    }
  }
  if (const Json* modalities = fields.Find("modalities")) {
    if (*modalities != Json::array({"text"})) {
      fields.Fail(NotSupported("modalities", "modalities: only [\"text\"] is supported"));
    }
  }
  for (const std::string_view key : {"functions", "function_call", "audio", "suffix"}) {
    const Json* field = fields.Find(key);
    if (field == nullptr || *field == "") continue;
    fields.Fail(NotSupported(std::string(key), fmt::format("{}: not supported", key)));
  }
  int32_t best_of = request.choices;
  fields.Int("best_of", 1, kMaxInt32, best_of);
  if (best_of != request.choices) {
    fields.Fail(NotSupported("best_of", "best_of: only a value equal to n is supported"));
  }
}

std::vector<int32_t> ReadIds(FieldReader& fields, const Json& list, const ServedModel& model) {
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const Json& entry : list) {
    const bool in_range = entry.is_number_unsigned() &&
                          entry.get<uint64_t>() < static_cast<uint64_t>(model.vocab_size);
    if (!in_range) {
      fields.Fail(BadRequest("prompt", fmt::format("prompt: {} is not a token id in [0, {})",
                                                   entry.dump().substr(0, 100), model.vocab_size)));
      return {};
    }
    ids.push_back(entry.get<int32_t>());
  }
  return ids;
}

void ReadPrompts(FieldReader& fields, const ServedModel& model, ParsedRequest& request) {
  constexpr std::string_view kExpected = "a string, token ids, or an array of those";
  const Json* field = fields.Find("prompt");
  if (field == nullptr) return fields.Fail(MissingField("prompt"));
  if (field->is_string()) {
    request.prompts.emplace_back(field->get<std::string>());
    return;
  }
  if (!field->is_array()) return fields.FailType("prompt", kExpected);
  if (field->empty()) return fields.Fail(BadRequest("prompt", "prompt: the array is empty"));
  if (field->front().is_number()) {
    request.prompts.emplace_back(ReadIds(fields, *field, model));
    return;
  }
  if (field->size() > HttpLimits::kMaxPrompts) {
    return fields.Fail(BadRequest("prompt", fmt::format("prompt: {} prompts, the limit is {}",
                                                        field->size(), HttpLimits::kMaxPrompts)));
  }
  for (const Json& entry : *field) {
    if (entry.is_string()) {
      request.prompts.emplace_back(entry.get<std::string>());
    } else if (entry.is_array()) {
      request.prompts.emplace_back(ReadIds(fields, entry, model));
    } else {
      return fields.FailType("prompt", kExpected);
    }
  }
}

void ReadCompletions(FieldReader& fields, const ServedModel& model, ParsedRequest& request) {
  ReadPrompts(fields, model, request);
  fields.Int("logprobs", 0, StepLimits::kMaxLogprobs, request.sampling.logprobs);
  fields.Bool("echo", request.echo);
  if (request.echo && request.sampling.logprobs >= 0) {
    fields.Fail(NotSupported("echo", "echo: not supported together with logprobs"));
  }
}

}  // namespace

std::variant<ParsedRequest, ApiError> ParseRequest(Endpoint endpoint, std::string_view body,
                                                   const ServedModel& model) {
  std::string problem;
  const std::optional<Json> json = ParseBoundedJson(body, problem);
  if (!json) return BadRequest("", "the body is not JSON as expected: " + problem, "invalid_json");
  if (!json->is_object()) {
    return BadRequest("", fmt::format("the body is {}, not an object", json->type_name()));
  }
  ParsedRequest request;
  request.endpoint = endpoint;
  FieldReader fields(*json);
  ReadModel(fields, model);
  ReadMaxTokens(fields, endpoint, request);
  fields.Int("n", 1, HttpLimits::kMaxChoices, request.choices);
  ReadSampling(fields, model, request);
  ReadStop(fields, request);
  ReadStreaming(fields, request);
  RefuseUnsupported(fields, request);
  if (endpoint == Endpoint::kChat) {
    ReadMessages(fields, request.chat);
    ReadTools(fields, request);
    ReadChatLogprobs(fields, request.sampling);
  } else {
    ReadCompletions(fields, model, request);
  }
  if (!fields.ok()) return *fields.error();
  return request;
}

}  // namespace shoal
