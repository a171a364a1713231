// Proves the HTTP server end to end: real sockets, the real engine and a tiny real tokenizer, only
// the pipeline is a script. Answers and streams in OpenAI's shape; errors of every kind with their
// status and never an empty answer; a client that leaves frees its session; hostile and slow
// clients do no harm. Deadlines are short by option; nothing waits for a time, only for events.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "coordinator/api/http_server.h"
#include "tests/coordinator/http_test_client.h"
#include "tests/coordinator/scripted_pipeline.h"
#include "tests/coordinator/tiny_text_model.h"

namespace shoal {
namespace {

using Json = nlohmann::ordered_json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using std::chrono_literals::operator""ms;

constexpr Epoch kEpoch{7};

// The last word of a prompt says what the model does: "say=TEXT" answers TEXT, "endless" never
// ends, "hold" never begins, "pause=TEXT" says TEXT and then nothing. Chat's "assistant:" and ";"
// around it are cut off.
std::optional<int32_t> ScriptedToken(const std::vector<int32_t>& prompt, int32_t index) {
  std::string text;
  for (const int32_t token : prompt) {
    if (token < TinyTokens::kFirstByte) continue;
    text += static_cast<char>(token - TinyTokens::kFirstByte);
    if (!text.ends_with("\xE2\x96\x81")) continue;  // how this tokenizer writes a space
    text.resize(text.size() - 3);
    text += ' ';
  }
  const size_t chat_end = text.rfind(";assistant:");
  if (chat_end != std::string::npos) text = text.substr(0, chat_end);
  const auto nth = static_cast<size_t>(index);
  if (text.ends_with("endless")) return TinyTokens::kHello;
  if (text.ends_with("hold")) return std::nullopt;
  const size_t equals = text.rfind('=');
  const std::vector<int32_t> answer =
      equals == std::string::npos ? ByteTokens("ok") : ByteTokens(text.substr(equals + 1));
  if (nth < answer.size()) return answer[nth];
  if (text.find("pause=") != std::string::npos) return std::nullopt;
  return TinyTokens::kEnd;
}

class ApiServerTest : public testing::Test {
 protected:
  ApiServerTest() {
    scheduler_.context_tokens = 4096;
    scheduler_.max_running = 4;
    scheduler_.max_queued = 2;
    options_.port = 0;
    options_.model_id = "org/tiny";
    options_.created_unix_s = 1234;
    options_.default_max_tokens = 64;
  }
  ~ApiServerTest() override {
    server_.reset();
    if (engine_) engine_->OnLost(kEpoch, Unavailable("the test is over"));
    pipeline_.reset();
  }

  void StartServer(bool ready = true) {
    engine_ = std::make_unique<Engine>(scheduler_, clock_);
    if (ready) AttachPipeline();
    Result<std::unique_ptr<HttpServer>> server = HttpServer::Start(options_, *engine_, *text_);
    ASSERT_TRUE(server.ok()) << server.error().message;
    server_ = std::move(server).value();
  }
  void AttachPipeline() {
    pipeline_ = std::make_shared<ScriptedPipeline>(*engine_, ScriptedToken);
    engine_->Attach(pipeline_, {kEpoch, 1, 1 << 24});
  }
  uint16_t port() const { return server_->port(); }

  static std::string ChatBody(const std::string& content, const std::string& fields = "") {
    return R"({"messages": [{"role": "user", "content": ")" + content + "\"}]" +
           (fields.empty() ? "" : ", " + fields) + "}";
  }
  HttpTestReply Chat(const std::string& content, const std::string& fields = "") {
    return HttpTestClient(port()).Request("POST", "/v1/chat/completions",
                                          ChatBody(content, fields));
  }
  HttpTestReply Text(const std::string& fields) {
    return HttpTestClient(port()).Request("POST", "/v1/completions", "{" + fields + "}");
  }

  template <typename Condition>
  testing::AssertionResult Eventually(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) {
        const EngineStatus status = engine_->status();
        return testing::AssertionFailure()
               << "not in time; running " << status.running << ", queued " << status.queued;
      }
      std::this_thread::sleep_for(1ms);
    }
    return testing::AssertionSuccess();
  }
  testing::AssertionResult Busy(int running, int queued) {
    return Eventually([&] {
      const EngineStatus status = engine_->status();
      return status.running == running && status.queued == queued;
    });
  }

  SteadyClock clock_;
  SchedulerOptions scheduler_;
  HttpServerOptions options_;
  const std::unique_ptr<TextModel> text_ = MakeTinyTextModel();
  std::unique_ptr<Engine> engine_;
  std::shared_ptr<ScriptedPipeline> pipeline_;  // second owner: the engine
  std::unique_ptr<HttpServer> server_;
};

void ExpectError(const HttpTestReply& reply, int status, const std::string& message) {
  EXPECT_EQ(reply.status, status) << reply.body;
  const Json json = reply.Json();
  ASSERT_TRUE(json.is_object() && json.contains("error")) << reply.body;
  for (const char* key : {"message", "type", "param", "code"}) {
    EXPECT_TRUE(json["error"].contains(key)) << key;
  }
  EXPECT_THAT(json["error"]["message"].get<std::string>(), HasSubstr(message));
}

// ---- Answers ----

TEST_F(ApiServerTest, AnswersAChatWhole) {
  StartServer();
  const HttpTestReply reply = Chat("say=hello", R"("model": "org/tiny", "logprobs": null)");
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.headers.at("content-type"), "application/json");
  const Json json = reply.Json();
  EXPECT_THAT(json["id"].get<std::string>(), testing::MatchesRegex("chatcmpl-[0-9a-f]+"));
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["model"], "org/tiny");
  ASSERT_EQ(json["choices"].size(), 1u);
  EXPECT_EQ(json["choices"][0]["index"], 0);
  EXPECT_EQ(json["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(json["choices"][0]["message"]["content"], "hello");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "stop");
  EXPECT_TRUE(json["choices"][0]["logprobs"].is_null());
  // "<s>user:say=hello;assistant:" as bytes and one BOS.
  EXPECT_EQ(json["usage"]["prompt_tokens"], 26);
  EXPECT_EQ(json["usage"]["completion_tokens"], 5);
  EXPECT_EQ(json["usage"]["total_tokens"], 31);
}

TEST_F(ApiServerTest, StreamsAChat) {
  StartServer();
  const HttpTestReply reply =
      Chat("say=a\xE2\x82\xAC", R"("stream": true, "stream_options": {"include_usage": true})");
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_THAT(reply.headers.at("content-type"), HasSubstr("text/event-stream"));
  EXPECT_EQ(reply.headers.at("cache-control"), "no-cache");
  const std::vector<std::string> events = reply.Events();
  ASSERT_EQ(events.size(), 6u) << reply.body;  // role, a, the euro sign, end, usage, [DONE]
  const Json role = Json::parse(events[0]);
  EXPECT_EQ(role["object"], "chat.completion.chunk");
  EXPECT_EQ(role["choices"][0]["delta"]["role"], "assistant");
  EXPECT_TRUE(role["usage"].is_null());
  EXPECT_EQ(Json::parse(events[1])["choices"][0]["delta"]["content"], "a");
  EXPECT_EQ(Json::parse(events[2])["choices"][0]["delta"]["content"], "\xE2\x82\xAC");
  EXPECT_TRUE(Json::parse(events[2])["choices"][0]["finish_reason"].is_null());
  EXPECT_EQ(Json::parse(events[3])["choices"][0]["delta"], Json::object());
  EXPECT_EQ(Json::parse(events[3])["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(Json::parse(events[4])["choices"], Json::array());
  EXPECT_EQ(Json::parse(events[4])["usage"]["completion_tokens"], 4);
  EXPECT_EQ(events[5], "[DONE]");
  for (int i = 1; i < 5; ++i) EXPECT_EQ(Json::parse(events[i])["id"], role["id"]);
}

TEST_F(ApiServerTest, TrapEachTokenLeavesAtOnce) {
  StartServer();
  HttpTestClient client(port());
  client.SendRequest("POST", "/v1/chat/completions", ChatBody("pause=x", "\"stream\": true"));
  EXPECT_THAT(client.ReadUntil("\"x\""), Not(HasSubstr("[DONE]")));
}

TEST_F(ApiServerTest, StopStringsAndLengthEndAnAnswer) {
  StartServer();
  const Json stopped = Chat("say=one STOP two", R"("stop": "STOP")").Json();
  EXPECT_EQ(stopped["choices"][0]["message"]["content"], "one ");
  EXPECT_EQ(stopped["choices"][0]["finish_reason"], "stop");
  const Json cut = Chat("say=abcdef", R"("max_tokens": 3)").Json();
  EXPECT_EQ(cut["choices"][0]["message"]["content"], "abc");
  EXPECT_EQ(cut["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(cut["usage"]["completion_tokens"], 3);
  const Json by_default = Chat("endless").Json();
  EXPECT_EQ(by_default["usage"]["completion_tokens"], 64);
}

TEST_F(ApiServerTest, AnswersSeveralPromptsAndChoices) {
  StartServer();
  const Json json =
      Text(R"("prompt": ["x say=one", "say=two"], "n": 2, "echo": true, "seed": 5)").Json();
  ASSERT_EQ(json["choices"].size(), 4u);
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_THAT(json["id"].get<std::string>(), testing::StartsWith("cmpl-"));
  EXPECT_EQ(json["choices"][0]["text"], "x say=oneone");
  EXPECT_EQ(json["choices"][1]["text"], "x say=oneone");
  EXPECT_EQ(json["choices"][2]["text"], "say=twotwo");
  EXPECT_EQ(json["choices"][3]["index"], 3);
  EXPECT_EQ(json["usage"]["prompt_tokens"], 12 + 8);  // each prompt once, BOS; a space is 3
  EXPECT_EQ(json["usage"]["completion_tokens"], 12);
  std::vector<uint64_t> seeds;
  for (const SamplingParams& sampling : pipeline_->sampling()) seeds.push_back(sampling.seed);
  EXPECT_THAT(seeds, testing::ElementsAre(5, 6, 5, 6));
}

TEST_F(ApiServerTest, StreamsTextOfTokenIds) {
  StartServer();
  Json prompt = Json::array();
  for (const int32_t token : ByteTokens("say=hi")) prompt.push_back(token);
  const HttpTestReply reply =
      Text("\"stream\": true, \"echo\": true, \"prompt\": " + prompt.dump());
  const std::vector<std::string> events = reply.Events();
  ASSERT_EQ(events.size(), 5u) << reply.body;
  EXPECT_EQ(Json::parse(events[0])["choices"][0]["text"], "say=hi");
  EXPECT_EQ(Json::parse(events[1])["choices"][0]["text"], "h");
  EXPECT_EQ(Json::parse(events[3])["choices"][0]["finish_reason"], "stop");
  EXPECT_FALSE(Json::parse(events[3]).contains("usage"));
}

TEST_F(ApiServerTest, TellsLogprobs) {
  StartServer();
  const Json chat = Chat("say=ab", R"("logprobs": true, "top_logprobs": 2)").Json();
  const Json& content = chat["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 2u) << chat;
  EXPECT_EQ(content[0]["token"], "a");
  EXPECT_EQ(content[0]["bytes"], Json::array({97}));
  EXPECT_EQ(content[0]["logprob"], -0.5);
  EXPECT_EQ(content[0]["top_logprobs"][1]["token"], "b");

  const Json text = Text(R"("prompt": "say=abc", "logprobs": 2)").Json();
  const Json& logprobs = text["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"], Json({"a", "b", "c"}));
  EXPECT_EQ(logprobs["text_offset"], Json({0, 1, 2}));
  EXPECT_EQ(logprobs["top_logprobs"][0]["b"], -1.5);

  const HttpTestReply stream = Text(R"("prompt": "say=abc", "logprobs": 0, "stream": true)");
  EXPECT_EQ(Json::parse(stream.Events().at(2))["choices"][0]["logprobs"]["text_offset"],
            Json::array({2}));
}

TEST_F(ApiServerTest, PassesSamplingAndToolsOn) {
  StartServer();
  const Json json = Chat("say=x", R"("temperature": 0.5, "top_k": 7, "logit_bias": {"9": 2},
                                     "tools": [{"type": "function"}])")
                        .Json();
  EXPECT_EQ(json["usage"]["prompt_tokens"], 22 + 10);  // "1 tools;" by the template
  const SamplingParams sampling = pipeline_->sampling().at(0);
  EXPECT_EQ(sampling.temperature, 0.5f);
  EXPECT_EQ(sampling.top_k, 7);
  EXPECT_EQ(sampling.logit_bias.size(), 1u);
}

TEST_F(ApiServerTest, AnswersSeveralClientsAtOnce) {
  scheduler_.max_queued = 100;
  StartServer();
  std::vector<std::thread> clients;
  for (int i = 0; i < 12; ++i) {
    clients.emplace_back([this, i] {
      const std::string answer = "answer number " + std::to_string(i);
      const HttpTestReply reply = Chat("say=" + answer, i % 2 == 0 ? "" : "\"stream\": true");
      std::string text;
      if (i % 2 == 0) {
        text = reply.Json()["choices"][0]["message"]["content"];
      } else {
        for (const std::string& event : reply.Events()) {
          const Json json = Json::parse(event, nullptr, false);
          if (!json.is_discarded()) text += json["choices"][0]["delta"].value("content", "");
        }
      }
      EXPECT_EQ(text, answer);
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(Busy(0, 0));
}

TEST_F(ApiServerTest, TellsModelsAndHealth) {
  StartServer();
  HttpTestClient client(port());
  const Json models = client.Request("GET", "/v1/models").Json();
  EXPECT_EQ(models["object"], "list");
  EXPECT_EQ(models["data"][0]["id"], "org/tiny");
  EXPECT_EQ(models["data"][0]["created"], 1234);
  EXPECT_EQ(client.Request("GET", "/v1/models/org/tiny").Json()["object"], "model");
  EXPECT_EQ(client.Request("GET", "/v1/models/org%2Ftiny").status, 200);
  ExpectError(client.Request("GET", "/v1/models/other"), 404, "org/tiny");
  const Json health = client.Request("GET", "/health?verbose=1").Json();
  EXPECT_EQ(health["status"], "ready");
  EXPECT_EQ(health["running"], 0);
  const HttpTestReply head = client.Request("HEAD", "/health");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.body, "");
  EXPECT_EQ(head.headers.at("content-length"), std::to_string(health.dump().size()));
  const HttpTestReply options = client.Request("OPTIONS", "/v1/completions");
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.headers.at("allow"), "POST, OPTIONS");
}

// ---- Errors ----

TEST_F(ApiServerTest, RefusesWhatItDoesNotHave) {
  StartServer();
  HttpTestClient client(port());
  ExpectError(client.Request("GET", "/v1/nothing"), 404, "/v1/nothing");
  ExpectError(client.Request("POST", "/v1/chat/completions", "{"), 400, "JSON");
  ExpectError(client.Request("POST", "/v1/chat/completions"), 400, "JSON");
  const HttpTestReply wrong_method = client.Request("GET", "/v1/chat/completions");
  ExpectError(wrong_method, 405, "POST");
  EXPECT_EQ(wrong_method.headers.at("allow"), "POST, OPTIONS");
  ExpectError(client.Request("DELETE", "/v1/models"), 405, "GET");
  ExpectError(client.Request("BREW", "/health"), 405, "BREW");
  ExpectError(client.Request("POST", "/v1/completions", R"({"prompt": "a", "model": "b"})"), 404,
              "'b'");
  ExpectError(client.Request("POST", "/v1/chat/completions",
                             R"({"messages": [{"role": "tool", "content": "x"}]})"),
              400, "Only people may speak here");
}

TEST_F(ApiServerTest, TrapPromptsMustLeaveRoomForAnAnswer) {
  StartServer();
  const std::string filler(4094, 'x');  // and a BOS: room for one token
  const Json fits = Text("\"max_tokens\": 500, \"prompt\": \"" + filler + "\"").Json();
  EXPECT_EQ(fits["choices"][0]["finish_reason"], "length") << fits;
  EXPECT_EQ(fits["usage"]["completion_tokens"], 1);
  const HttpTestReply too_long = Text("\"stream\": true, \"prompt\": \"" + filler + "x\"");
  ExpectError(too_long, 400, "4096");
  EXPECT_EQ(too_long.Json()["error"]["code"], "context_length_exceeded");
}

TEST_F(ApiServerTest, AnswersWhileTheMeshIsNotReady) {
  StartServer(false);
  engine_->SetStarting("node kitchen loads layers 3 of 9");
  const HttpTestReply reply = Chat("say=x");
  ExpectError(reply, 503, "node kitchen loads layers 3 of 9");
  EXPECT_EQ(reply.headers.at("retry-after"), std::to_string(HttpLimits::kRetryAfterS));
  HttpTestClient client(port());
  const HttpTestReply health = client.Request("GET", "/health");
  EXPECT_EQ(health.status, 503);
  EXPECT_EQ(health.headers.count("retry-after"), 1u);
  EXPECT_EQ(health.Json()["status"], "starting");
  EXPECT_THAT(health.Json()["detail"].get<std::string>(), HasSubstr("kitchen"));
  AttachPipeline();
  EXPECT_EQ(client.Request("GET", "/health").status, 200);
}

TEST_F(ApiServerTest, TellsThatTheQueueIsFull) {
  scheduler_.max_running = 1;
  scheduler_.max_queued = 1;
  StartServer();
  HttpTestClient running(port()), queued(port());
  running.SendRequest("POST", "/v1/chat/completions", ChatBody("hold"));
  ASSERT_TRUE(Busy(1, 0));
  queued.SendRequest("POST", "/v1/chat/completions", ChatBody("hold"));
  ASSERT_TRUE(Busy(1, 1));
  const HttpTestReply full = Chat("say=x");
  ExpectError(full, 429, "waiting already");
  EXPECT_EQ(full.headers.count("retry-after"), 1u);
  // Of several choices all are given back if one does not fit.
  running.Close();
  ASSERT_TRUE(Busy(1, 0));
  ExpectError(Chat("hold", "\"n\": 3"), 429, "waiting already");
  EXPECT_TRUE(Busy(1, 0));
}

TEST_F(ApiServerTest, TrapALostNodeIsNamedAndNoEmptyAnswer) {
  StartServer();
  HttpTestClient whole(port()), waiting(port()), stream(port());
  whole.SendRequest("POST", "/v1/chat/completions", ChatBody("hold"));
  waiting.SendRequest("POST", "/v1/chat/completions", ChatBody("hold", "\"stream\": true"));
  stream.SendRequest("POST", "/v1/chat/completions", ChatBody("pause=begun", "\"stream\": true"));
  stream.ReadUntil("\"n\"");
  ASSERT_TRUE(Busy(3, 0));
  engine_->OnLost(kEpoch, Unavailable("node attic: connection closed"));
  ExpectError(whole.ReadReply(), 503, "node attic");
  ExpectError(waiting.ReadReply(), 503, "node attic");
  const HttpTestReply broken = stream.ReadReply();
  EXPECT_EQ(broken.status, 200);
  const std::vector<std::string> events = broken.Events();
  EXPECT_THAT(Json::parse(events.back())["error"]["message"].get<std::string>(),
              HasSubstr("node attic"));
  EXPECT_THAT(broken.body, Not(HasSubstr("[DONE]")));
  EXPECT_TRUE(stream.ClosedByServer());
}

TEST_F(ApiServerTest, AnAddressThatCannotBeBoundIsNamed) {
  StartServer();
  HttpServerOptions options = options_;
  options.port = port();
  const auto taken = HttpServer::Start(options, *engine_, *text_);
  ASSERT_FALSE(taken.ok());
  EXPECT_THAT(taken.error().message, HasSubstr("127.0.0.1:" + std::to_string(port())));
  options.host = "no address";
  EXPECT_FALSE(HttpServer::Start(options, *engine_, *text_).ok());
}

// ---- Clients that leave ----

TEST_F(ApiServerTest, AClientThatLeavesFreesItsSession) {
  scheduler_.max_running = 2;
  StartServer();
  HttpTestClient whole(port()), stream(port()), queued(port());
  whole.SendRequest("POST", "/v1/chat/completions", ChatBody("hold"));
  stream.SendRequest("POST", "/v1/chat/completions", ChatBody("pause=x", "\"stream\": true"));
  stream.ReadUntil("\"x\"");
  ASSERT_TRUE(Busy(2, 0));
  queued.SendRequest("POST", "/v1/completions", R"({"prompt": "hold"})");
  ASSERT_TRUE(Busy(2, 1));
  queued.Close();
  EXPECT_TRUE(Busy(2, 0));
  stream.Close();
  EXPECT_TRUE(Busy(1, 0));
  whole.Close();
  EXPECT_TRUE(Busy(0, 0));
  EXPECT_EQ(Chat("say=still here").status, 200);
}

TEST_F(ApiServerTest, AClientThatLeavesAnEndlessStreamFreesItsSession) {
  scheduler_.context_tokens = 1 << 20;
  StartServer();
  for (int i = 0; i < 5; ++i) {
    HttpTestClient client(port());
    client.SendRequest("POST", "/v1/chat/completions",
                       ChatBody("endless", "\"stream\": true, \"max_tokens\": 1000000"));
    client.ReadUntil("Hello");
  }
  EXPECT_TRUE(Busy(0, 0));
}

TEST_F(ApiServerTest, AClientThatDoesNotReadIsDroppedWhenTooMuchWaits) {
  scheduler_.context_tokens = 1 << 20;
  options_.timeouts.write = std::chrono::hours(1);
  StartServer();
  HttpTestClient client(port(), 4096);
  client.SendRequest("POST", "/v1/chat/completions",
                     ChatBody("endless", "\"stream\": true, \"max_tokens\": 1000000"));
  client.ReadUntil("Hello");
  EXPECT_TRUE(Busy(0, 0));
}

TEST_F(ApiServerTest, AClientThatDoesNotReadIsDroppedAfterATime) {
  scheduler_.context_tokens = 1 << 14;
  options_.default_max_tokens = 0;
  options_.timeouts.write = 200ms;
  StartServer();
  // About 700 kB of chunks: more than the socket takes, less than what may wait.
  HttpTestClient client(port(), 4096);
  const std::string text(3000, 'y');
  client.SendRequest("POST", "/v1/chat/completions", ChatBody("pause=" + text, "\"stream\": true"));
  client.ReadUntil("\"y\"");
  EXPECT_TRUE(Busy(0, 0));
}

TEST_F(ApiServerTest, StoppingTheServerEndsWhatRuns) {
  StartServer();
  HttpTestClient whole(port()), stream(port()), idle(port());
  whole.SendRequest("POST", "/v1/chat/completions", ChatBody("hold"));
  stream.SendRequest("POST", "/v1/chat/completions", ChatBody("pause=x", "\"stream\": true"));
  stream.ReadUntil("\"x\"");
  EXPECT_EQ(idle.Request("GET", "/health").status, 200);
  ASSERT_TRUE(Busy(2, 0));
  server_.reset();
  EXPECT_TRUE(Busy(0, 0));
  EXPECT_TRUE(whole.ClosedByServer());
  EXPECT_TRUE(stream.ClosedByServer());
  EXPECT_TRUE(idle.ClosedByServer());
}

TEST_F(ApiServerTest, ASilentStreamIsKeptAlive) {
  options_.timeouts.keep_alive = 20ms;
  StartServer();
  HttpTestClient client(port());
  client.SendRequest("POST", "/v1/chat/completions", ChatBody("hold", "\"stream\": true"));
  client.ReadUntil(": waiting");
  engine_->OnLost(kEpoch, Unavailable("node attic: connection closed"));
  EXPECT_THAT(client.ReadReply().Events().back(), HasSubstr("node attic"));
}

// ---- HTTP ----

TEST_F(ApiServerTest, SpeaksHttp) {
  StartServer();
  const std::string body = ChatBody("say=hi");
  const std::string length = std::to_string(body.size());
  HttpTestClient client(port());  // all on one connection

  client.Send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
      "chunked\r\n\r\n");
  client.Send("5\r\n" + body.substr(0, 5) + "\r\n");
  client.Send("3;name=value\r\n" + body.substr(5, 3) + "\r\n");
  std::ostringstream rest;
  rest << std::hex << body.size() - 8 << "\r\n" << body.substr(8) << "\r\n0\r\nTrailer: x\r\n\r\n";
  client.Send(rest.str());
  EXPECT_EQ(client.ReadReply().Json()["choices"][0]["message"]["content"], "hi");

  client.Send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
      "Content-Length: " +
      length + "\r\n\r\n");
  EXPECT_EQ(client.ReadReply().status, 100);
  client.Send(body);
  EXPECT_EQ(client.ReadReply().status, 200);

  for (const char byte : "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n") {
    if (byte != '\0') client.Send(std::string(1, byte));
  }
  EXPECT_EQ(client.ReadReply().status, 200);

  // Pipelined: answered in order.
  client.Send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + length +
              "\r\n\r\n" + body + "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n" +
              "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(client.ReadReply().Json()["object"], "chat.completion");
  EXPECT_EQ(client.ReadReply().Json()["object"], "list");
  EXPECT_EQ(client.ReadReply().Json()["status"], "ready");
  EXPECT_TRUE(client.ClosedByServer());
}

TEST_F(ApiServerTest, AStreamLeavesTheConnectionOpenForTheNextRequest) {
  StartServer();
  HttpTestClient client(port());
  for (int i = 0; i < 3; ++i) {
    const HttpTestReply reply =
        client.Request("POST", "/v1/chat/completions", ChatBody("say=a", "\"stream\": true"));
    EXPECT_EQ(reply.Events().back(), "[DONE]");
  }
}

TEST_F(ApiServerTest, SpeaksHttp10) {
  StartServer();
  HttpTestClient whole(port());
  whole.Send("GET /health HTTP/1.0\r\n\r\n");
  EXPECT_EQ(whole.ReadReply().status, 200);
  EXPECT_TRUE(whole.ClosedByServer());

  const std::string body = ChatBody("say=hi", "\"stream\": true");
  HttpTestClient stream(port());
  stream.Send("POST /v1/chat/completions HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  const HttpTestReply reply = stream.ReadReply();  // ends with the connection
  EXPECT_EQ(reply.headers.count("transfer-encoding"), 0u);
  ASSERT_FALSE(reply.Events().empty());
  EXPECT_EQ(reply.Events().back(), "[DONE]");
}

TEST_F(ApiServerTest, RefusesWhatIsNoHttp) {
  StartServer();
  const std::string garbage[] = {
      std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11),  // TLS
      std::string(40, '\0'),
      "hello there\r\n\r\n",
      "GET /health HTTP/1.1\r\nno colon\r\n\r\n",
      "GET /health HTTP/9.9\r\n\r\n",
      "POST /v1/completions HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
      "POST /v1/completions HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
      "POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      "POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n",
  };
  for (const std::string& bytes : garbage) {
    SCOPED_TRACE(testing::PrintToString(bytes));
    HttpTestClient client(port());
    client.Send(bytes + "\r\n\r\n");
    const HttpTestReply reply = client.ReadReply();
    EXPECT_TRUE(reply.status == 400 || reply.status == 413) << reply.status;
    EXPECT_TRUE(reply.Json().contains("error"));
    EXPECT_TRUE(client.ClosedByServer());
  }
  EXPECT_EQ(Chat("say=still here").status, 200);
}

TEST_F(ApiServerTest, BoundsHeadersAndBodies) {
  StartServer();
  HttpTestClient flood(port());
  flood.Send("GET /health HTTP/1.1\r\n");
  for (int i = 0; i < 2000; ++i) flood.Send("X-Header-" + std::to_string(i) + ": some value\r\n");
  ExpectError(flood.ReadReply(), 431, "16384");
  // The server reads on for a while: closing at once could destroy the reply on its way.
  EXPECT_TRUE(flood.ClosedByServer());
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(flood.Send("X-More: header\r\n"));

  HttpTestClient line(port());
  line.Send("GET /" + std::string(100'000, 'a'));
  ExpectError(line.ReadReply(), 431, "16384");

  HttpTestClient announced(port());
  announced.Send(
      "POST /v1/completions HTTP/1.1\r\nExpect: 100-continue\r\n"
      "Content-Length: 8388609\r\n\r\n");
  ExpectError(announced.ReadReply(), 413, "8388608");

  HttpTestClient chunked(port());  // sends on while the answer comes
  chunked.Send("POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "100000\r\n" + std::string(1 << 20, ' ') + "\r\n";
  for (int i = 0; i < 10; ++i) chunked.Send(chunk);
  ExpectError(chunked.ReadReply(), 413, "8388608");

  HttpTestClient extension(port());
  extension.Send("POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;");
  extension.Send(std::string(200'000, 'x'));
  const int status = extension.ReadReply().status;
  EXPECT_TRUE(status == 400 || status == 431) << status;

  HttpTestClient large(port());  // the largest there may be, and deeply nested
  const std::string nested(HttpLimits::kMaxBodyBytes, '[');
  ExpectError(large.Request("POST", "/v1/completions", nested), 400, "nested");
  EXPECT_EQ(Chat("say=still here").status, 200);
}

TEST_F(ApiServerTest, SlowClientsAreTold) {
  options_.timeouts.header = 100ms;
  options_.timeouts.body = 100ms;
  options_.timeouts.idle = 100ms;
  StartServer();
  HttpTestClient silent(port());
  EXPECT_TRUE(silent.ClosedByServer());

  HttpTestClient slow_head(port());
  slow_head.Send("GET /health HTTP/1.1\r\nHost");
  ExpectError(slow_head.ReadReply(), 408, "headers");
  EXPECT_TRUE(slow_head.ClosedByServer());

  HttpTestClient slow_body(port());
  slow_body.Send("POST /v1/completions HTTP/1.1\r\nContent-Length: 10\r\n\r\n{");
  ExpectError(slow_body.ReadReply(), 408, "body");

  HttpTestClient idle(port());
  EXPECT_EQ(idle.Request("GET", "/health").status, 200);
  EXPECT_TRUE(idle.ClosedByServer());

  // None of these times an answer that takes longer.
  HttpTestClient waiting(port());
  waiting.SendRequest("POST", "/v1/chat/completions", ChatBody("hold"));
  ASSERT_TRUE(Busy(1, 0));
  HttpTestClient(port()).ClosedByServer();
  EXPECT_TRUE(Busy(1, 0));
}

TEST_F(ApiServerTest, TurnsConnectionsAwayBeyondTheLimit) {
  StartServer();
  std::vector<std::unique_ptr<HttpTestClient>> clients;
  for (int i = 0; i < HttpLimits::kMaxConnections; ++i) {
    clients.push_back(std::make_unique<HttpTestClient>(port()));
  }
  HttpTestClient one_more(port());
  ExpectError(one_more.ReadReply(), 503, "256 connections");
  EXPECT_EQ(clients.back()->Request("GET", "/health").status, 200);
  clients.clear();
  EXPECT_TRUE(
      Eventually([&] { return HttpTestClient(port()).Request("GET", "/health").status == 200; }));
}

}  // namespace
}  // namespace shoal
