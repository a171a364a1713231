// Proves the gate for request bodies: a table of bodies and the field and status of the error each
// must give, and what accepted bodies become. Also that nothing in the tables is refused for
// another reason: each wrong body differs from an accepted one in that field only.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "coordinator/api/http_limits.h"
#include "coordinator/api/json_fields.h"
#include "coordinator/api/request_parse.h"

namespace shoal {
namespace {

using Json = nlohmann::ordered_json;
using testing::ElementsAre;
using testing::HasSubstr;

const ServedModel kModel = {"tiny", 100};

std::variant<ParsedRequest, ApiError> Chat(const std::string& body) {
  return ParseRequest(Endpoint::kChat, body, kModel);
}
std::variant<ParsedRequest, ApiError> Text(const std::string& body) {
  return ParseRequest(Endpoint::kCompletions, body, kModel);
}

ParsedRequest Accepted(const std::variant<ParsedRequest, ApiError>& result) {
  if (const auto* error = std::get_if<ApiError>(&result)) {
    ADD_FAILURE() << "refused: " << error->Json();
    return {};
  }
  return std::get<ParsedRequest>(result);
}

ApiError Refused(const std::variant<ParsedRequest, ApiError>& result) {
  if (std::holds_alternative<ParsedRequest>(result)) {
    ADD_FAILURE() << "accepted";
    return {};
  }
  return std::get<ApiError>(result);
}

// A body that is accepted, with more fields ("\"n\": 2").
std::string ChatBody(const std::string& fields) {
  return R"({"messages": [{"role": "user", "content": "hi"}])" +
         (fields.empty() ? "" : ", " + fields) + "}";
}
std::string TextBody(const std::string& fields) {
  return R"({"prompt": "hi")" + (fields.empty() ? "" : ", " + fields) + "}";
}

struct WrongField {
  const char* fields;
  const char* param;
};

// Wrong in both kinds of request.
constexpr WrongField kWrongFields[] = {
    {R"("model": 3)", "model"},
    {R"("max_tokens": 0)", "max_tokens"},
    {R"("max_tokens": -1)", "max_tokens"},
    {R"("max_tokens": 1.5)", "max_tokens"},
    {R"("max_tokens": "16")", "max_tokens"},
    {R"("max_tokens": 2147483648)", "max_tokens"},
    {R"("max_tokens": 18446744073709551615)", "max_tokens"},
    {R"("n": 0)", "n"},
    {R"("n": 9)", "n"},
    {R"("n": true)", "n"},
    {R"("temperature": -0.1)", "temperature"},
    {R"("temperature": 2.1)", "temperature"},
    {R"("temperature": "hot")", "temperature"},
    {R"("top_p": 1.1)", "top_p"},
    {R"("top_p": [])", "top_p"},
    {R"("min_p": -1)", "min_p"},
    {R"("top_k": -2)", "top_k"},
    {R"("top_k": 0.5)", "top_k"},
    {R"("presence_penalty": 2.5)", "presence_penalty"},
    {R"("frequency_penalty": -3)", "frequency_penalty"},
    {R"("repetition_penalty": 0)", "repetition_penalty"},
    {R"("seed": 1.5)", "seed"},
    {R"("seed": "x")", "seed"},
    {R"("stop": 5)", "stop"},
    {R"("stop": "")", "stop"},
    {R"("stop": ["a", 5])", "stop"},
    {R"("stop": ["a", ""])", "stop"},
    {R"("stop": ["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"])",
     "stop"},
    {R"("stream": 1)", "stream"},
    {R"("stream_options": {"include_usage": true})", "stream_options"},
    {R"("stream": true, "stream_options": true)", "stream_options"},
    {R"("stream": true, "stream_options": {"include_usage": 1})", "stream_options.include_usage"},
    {R"("logit_bias": [1])", "logit_bias"},
    {R"("logit_bias": {"x": 1})", "logit_bias"},
    {R"("logit_bias": {"": 1})", "logit_bias"},
    {R"("logit_bias": {"100": 1})", "logit_bias"},
    {R"("logit_bias": {"-1": 1})", "logit_bias"},
    {R"("logit_bias": {"99999999999999": 1})", "logit_bias"},
    {R"("logit_bias": {"5": 100.5})", "logit_bias"},
    {R"("logit_bias": {"5": null})", "logit_bias"},
    {R"("response_format": {"type": "json_object"})", "response_format"},
    {R"("response_format": {"type": 5})", "response_format"},
    {R"("response_format": "text")", "response_format"},
    {R"("functions": [])", "functions"},
    {R"("suffix": "end")", "suffix"},
    {R"("best_of": 2)", "best_of"},
};

constexpr WrongField kWrongChatFields[] = {
    {R"("messages": "hi")", "messages"},
    {R"("messages": [])", "messages"},
    {R"("messages": null)", "messages"},
    {R"("messages": ["hi"])", "messages[0]"},
    {R"("messages": [{"content": "hi"}])", "messages[0].role"},
    {R"("messages": [{"role": "wizard", "content": "hi"}])", "messages[0].role"},
    {R"("messages": [{"role": 1, "content": "hi"}])", "messages[0].role"},
    {R"("messages": [{"role": "user"}])", "messages[0].content"},
    {R"("messages": [{"role": "user", "content": "a"}, {"role": "user", "content": 5}])",
     "messages[1].content"},
    {R"("messages": [{"role": "assistant"}])", "messages[0].content"},
    {R"("messages": [{"role": "user", "tool_calls": []}])", "messages[0].content"},
    {R"("messages": [{"role": "user", "content": ["a"]}])", "messages[0].content[0]"},
    {R"("messages": [{"role": "user", "content": [{"text": "a"}]}])",
     "messages[0].content[0].type"},
    {R"("messages": [{"role": "user", "content": [{"type": "text"}]}])",
     "messages[0].content[0].text"},
    {R"("messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}])",
     "messages[0].content[0]"},
    {R"("messages": [{"role": "assistant", "tool_calls": 5}])", "messages[0].tool_calls"},
    {R"("messages": [{"role": "assistant", "tool_calls": [5]}])", "messages[0].tool_calls[0]"},
    {R"("messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}])",
     "messages[0].tool_calls[0].function"},
    {R"("tools": {})", "tools"},
    {R"("tools": [5])", "tools"},
    {R"("tool_choice": "required")", "tool_choice"},
    {R"("tool_choice": {"type": "function"})", "tool_choice"},
    {R"("modalities": ["text", "audio"])", "modalities"},
    {R"("max_completion_tokens": 0)", "max_completion_tokens"},
    {R"("logprobs": 5)", "logprobs"},
    {R"("logprobs": true, "top_logprobs": 21)", "top_logprobs"},
    {R"("top_logprobs": 2)", "top_logprobs"},
};

constexpr WrongField kWrongTextFields[] = {
    {R"("prompt": null)", "prompt"},
    {R"("prompt": 5)", "prompt"},
    {R"("prompt": [])", "prompt"},
    {R"("prompt": [100])", "prompt"},
    {R"("prompt": [-1])", "prompt"},
    {R"("prompt": [1.0])", "prompt"},
    {R"("prompt": [1, "a"])", "prompt"},
    {R"("prompt": ["a", 1])", "prompt"},
    {R"("prompt": [[1], [100]])", "prompt"},
    {R"("prompt": {})", "prompt"},
    {R"("logprobs": true)", "logprobs"},
    {R"("logprobs": 21)", "logprobs"},
    {R"("echo": 1)", "echo"},
    {R"("echo": true, "logprobs": 1)", "echo"},
};

void ExpectWrong(const std::variant<ParsedRequest, ApiError>& result, const WrongField& wrong) {
  SCOPED_TRACE(wrong.fields);
  const ApiError error = Refused(result);
  EXPECT_EQ(error.status, 400);
  EXPECT_EQ(error.param, wrong.param);
  EXPECT_EQ(error.type, "invalid_request_error");
  const std::string field = std::string(wrong.param).substr(0, std::string(wrong.param).find('.'));
  EXPECT_THAT(error.message, HasSubstr(field));
}

TEST(ApiParseTest, NamesTheWrongField) {
  Accepted(Chat(ChatBody("")));
  Accepted(Text(TextBody("")));
  for (const WrongField& wrong : kWrongFields) {
    ExpectWrong(Chat(ChatBody(wrong.fields)), wrong);
    ExpectWrong(Text(TextBody(wrong.fields)), wrong);
  }
  // A key given twice: the last one counts, so these replace the good ones.
  for (const WrongField& wrong : kWrongChatFields) ExpectWrong(Chat(ChatBody(wrong.fields)), wrong);
  for (const WrongField& wrong : kWrongTextFields) ExpectWrong(Text(TextBody(wrong.fields)), wrong);
}

TEST(ApiParseTest, DefaultsAreOpenAis) {
  const ParsedRequest chat = Accepted(Chat(ChatBody("")));
  EXPECT_EQ(chat.sampling.temperature, 1);
  EXPECT_EQ(chat.sampling.top_p, 1);
  EXPECT_EQ(chat.sampling.top_k, 0);
  EXPECT_EQ(chat.sampling.min_p, 0);
  EXPECT_EQ(chat.sampling.repetition_penalty, 1);
  EXPECT_EQ(chat.sampling.logprobs, -1);
  EXPECT_EQ(chat.choices, 1);
  EXPECT_FALSE(chat.max_tokens);
  EXPECT_FALSE(chat.seed);
  EXPECT_FALSE(chat.stream);
}

TEST(ApiParseTest, NullCountsAsAbsentAndUnknownFieldsAreIgnored) {
  Accepted(Chat(ChatBody(R"("temperature": null, "stop": null, "n": null, "tools": null,
      "stream_options": null, "logit_bias": null, "response_format": null, "seed": null,
      "user": "me", "metadata": {"a": [1]}, "made_up": {"x": []}, "tool_choice": null)")));
  Accepted(Text(TextBody(R"("logprobs": null, "suffix": null, "best_of": null, "echo": null)")));
}

TEST(ApiParseTest, ReadsEveryField) {
  const ParsedRequest request = Accepted(Chat(ChatBody(R"(
      "model": "tiny", "max_tokens": 3, "max_completion_tokens": 7, "n": 2, "temperature": 0,
      "top_p": 0.5, "min_p": 0.25, "top_k": 40, "presence_penalty": -2, "frequency_penalty": 1.5,
      "repetition_penalty": 1.25, "seed": -1, "stop": ["a", "b"], "stream": true,
      "stream_options": {"include_usage": true}, "logit_bias": {"5": -100, "99": 1.5},
      "logprobs": true, "top_logprobs": 3, "response_format": {"type": "text"},
      "tools": [{"type": "function"}], "tool_choice": "auto")")));
  EXPECT_EQ(request.max_tokens, 7);
  EXPECT_EQ(request.choices, 2);
  EXPECT_EQ(request.sampling.temperature, 0);
  EXPECT_EQ(request.sampling.top_p, 0.5f);
  EXPECT_EQ(request.sampling.min_p, 0.25f);
  EXPECT_EQ(request.sampling.top_k, 40);
  EXPECT_EQ(request.sampling.presence_penalty, -2);
  EXPECT_EQ(request.sampling.frequency_penalty, 1.5f);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.25f);
  EXPECT_EQ(request.seed, UINT64_MAX);
  EXPECT_THAT(request.stop, ElementsAre("a", "b"));
  EXPECT_TRUE(request.stream);
  EXPECT_TRUE(request.include_usage);
  EXPECT_THAT(request.sampling.logit_bias,
              ElementsAre(testing::Pair(5, -100.0f), testing::Pair(99, 1.5f)));
  EXPECT_EQ(request.sampling.logprobs, 3);
  EXPECT_EQ(request.chat["tools"].size(), 1u);
}

TEST(ApiParseTest, ToolChoiceNoneHidesTheTools) {
  const ParsedRequest request =
      Accepted(Chat(ChatBody(R"("tools": [{"type": "function"}], "tool_choice": "none")")));
  EXPECT_FALSE(request.chat.contains("tools"));
}

TEST(ApiParseTest, BringsMessagesIntoTheTemplatesForm) {
  const ParsedRequest request = Accepted(Chat(R"({"messages": [
      {"role": "developer", "content": "be kind"},
      {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
      {"role": "assistant", "content": null, "tool_calls": [
          {"id": "1", "function": {"name": "f", "arguments": "{\"z\": 1, \"a\": [2]}"}},
          {"id": "2", "function": {"name": "g", "arguments": "not json"}}]},
      {"role": "tool", "tool_call_id": "1", "content": "42"}]})"));
  const Json expected = Json::parse(R"([
      {"role": "system", "content": "be kind"},
      {"role": "user", "content": "a\nb"},
      {"role": "assistant", "content": null, "tool_calls": [
          {"id": "1", "function": {"name": "f", "arguments": {"z": 1, "a": [2]}}},
          {"id": "2", "function": {"name": "g", "arguments": "not json"}}]},
      {"role": "tool", "tool_call_id": "1", "content": "42"}])");
  EXPECT_EQ(request.chat["messages"].dump(), expected.dump());
}

TEST(ApiParseTest, ReadsAllFormsOfPrompts) {
  using Ids = std::vector<int32_t>;
  EXPECT_THAT(Accepted(Text(R"({"prompt": ""})")).prompts, ElementsAre(PromptInput("")));
  EXPECT_THAT(Accepted(Text(R"({"prompt": ["a", "b"]})")).prompts,
              ElementsAre(PromptInput("a"), PromptInput("b")));
  EXPECT_THAT(Accepted(Text(R"({"prompt": [1, 99]})")).prompts,
              ElementsAre(PromptInput(Ids{1, 99})));
  EXPECT_THAT(Accepted(Text(R"({"prompt": [[1], [2, 3]]})")).prompts,
              ElementsAre(PromptInput(Ids{1}), PromptInput(Ids{2, 3})));
  std::string many = R"(["a")";
  for (size_t i = 0; i < HttpLimits::kMaxPrompts; ++i) many += R"(, "a")";
  EXPECT_EQ(Refused(Text(R"({"prompt": )" + many + "]}")).param, "prompt");
}

TEST(ApiParseTest, UnknownModelIs404) {
  const ApiError error = Refused(Chat(ChatBody(R"("model": "gpt-4")")));
  EXPECT_EQ(error.status, 404);
  EXPECT_EQ(error.code, "model_not_found");
  EXPECT_EQ(error.param, "model");
  EXPECT_THAT(error.message, testing::AllOf(HasSubstr("gpt-4"), HasSubstr("tiny")));
}

TEST(ApiParseTest, RefusesWhatIsNoJsonObject) {
  const std::string bodies[] = {"",
                                "{",
                                "[]",
                                "5",
                                "null",
                                "{\"messages\": }",
                                "{\"a\":1}}",
                                "{'a': 1}",
                                "\xFF",
                                "{\"a\": 1e999}",
                                "{\"a\": \"\xC3\"}",
                                "{\"a\": \"\\ud800\"}"};
  for (const std::string& body : bodies) {
    SCOPED_TRACE(body);
    EXPECT_EQ(Refused(Chat(body)).status, 400);
    EXPECT_EQ(Refused(Text(body)).status, 400);
  }
}

TEST(ApiParseTest, BoundsNestingAndKeys) {
  const auto nested = [](int depth) {
    return ChatBody("\"x\": " + std::string(depth, '[') + std::string(depth, ']'));
  };
  Accepted(Chat(nested(JsonLimits::kMaxDepth - 1)));
  EXPECT_THAT(Refused(Chat(nested(JsonLimits::kMaxDepth))).message, HasSubstr("nested deeper"));
  EXPECT_EQ(Refused(Chat(std::string(8 << 20, '['))).status, 400);
  // Brackets within strings do not count.
  Accepted(Chat(ChatBody("\"x\": \"\\\"" + std::string(1000, '[') + "\"")));

  const auto keys = [](int count) {
    std::string fields = "\"y\": {\"k\": 0";
    for (int i = 1; i < count; ++i) fields += ", \"k" + std::to_string(i) + "\": 0";
    return ChatBody(fields + "}");
  };
  Accepted(Chat(keys(JsonLimits::kMaxObjectKeys)));
  EXPECT_THAT(Refused(Chat(keys(JsonLimits::kMaxObjectKeys + 1))).message, HasSubstr("keys"));
  // Arrays are bounded by the body only.
  std::string ids = "{\"prompt\": [1";
  for (int i = 0; i < 5000; ++i) ids += ",1";
  Accepted(Text(ids + "]}"));
}

TEST(ApiParseTest, ErrorsHaveOpenAisShape) {
  const Json error = Json::parse(Refused(Chat(ChatBody(R"("n": 0)"))).Json());
  ASSERT_TRUE(error.contains("error"));
  EXPECT_EQ(error["error"]["param"], "n");
  EXPECT_EQ(error["error"]["type"], "invalid_request_error");
  EXPECT_TRUE(error["error"]["code"].is_null());
  EXPECT_TRUE(error["error"]["message"].is_string());
}

}  // namespace
}  // namespace shoal
