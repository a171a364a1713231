#include "coordinator/api/routes.h"

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "coordinator/api/answer.h"
#include "coordinator/api/response_json.h"

namespace shoal {

namespace {

constexpr std::string_view kModelsPrefix = "/v1/models/";
constexpr std::string_view kGetMethods = "GET, HEAD, OPTIONS";
constexpr std::string_view kPostMethods = "POST, OPTIONS";

std::optional<int> HexDigit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return std::nullopt;
}

std::string PercentDecode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const std::optional<int> high = HexDigit(text[i + 1]), low = HexDigit(text[i + 2]);
      if (high && low) {
        decoded += static_cast<char>(*high * 16 + *low);
        i += 2;
        continue;
      }
    }
    decoded += text[i];
  }
  return decoded;
}

HttpReply HealthReply(const Engine& engine) {
  const EngineStatus status = engine.status();
  const bool ready = status.state == EngineState::kReady;
  nlohmann::ordered_json body;
  body["status"] = ready ? "ready" : status.state == EngineState::kLost ? "lost" : "starting";
  if (!ready) body["detail"] = status.detail;
  body["running"] = status.running;
  body["queued"] = status.queued;
  HttpReply reply;
  reply.status = ready ? 200 : 503;
  reply.retry_later = !ready;
  reply.body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return reply;
}

HttpReply ModelReply(const ServerContext& server, std::string_view asked) {
  const HttpServerOptions& options = server.options;
  if (asked != options.model_id) return ErrorReply(ModelNotFound(asked, options.model_id));
  HttpReply reply;
  reply.body = ModelJson(options.model_id, options.created_unix_s, server.engine.context_length());
  return reply;
}

HttpReply ModelsReply(const ServerContext& server) {
  const HttpServerOptions& options = server.options;
  HttpReply reply;
  reply.body =
      ModelListJson(options.model_id, options.created_unix_s, server.engine.context_length());
  return reply;
}

}  // namespace

std::string PathOf(const std::string& target) {
  return target.substr(0, target.find_first_of("?#"));
}

std::shared_ptr<Exchange> Dispatch(ServerContext& server, HttpRequest request,
                                   ReplyChannel& channel) {
  const std::string path = PathOf(request.target);
  std::optional<Endpoint> endpoint;
  if (path == "/v1/chat/completions") endpoint = Endpoint::kChat;
  if (path == "/v1/completions") endpoint = Endpoint::kCompletions;
  const bool model = path.size() > kModelsPrefix.size() && path.starts_with(kModelsPrefix);
  if (!endpoint && !model && path != "/v1/models" && path != kHealthPath) {
    channel.Reply(ErrorReply(UnknownUrl(request.method, path)));
    return nullptr;
  }
  const std::string allow(endpoint ? kPostMethods : kGetMethods);
  if (request.method == "OPTIONS") {
    channel.Reply({204, "", false, allow});
    return nullptr;
  }
  const bool get = request.method == "GET" || request.method == "HEAD";
  if (endpoint ? request.method != "POST" : !get) {
    channel.Reply(ErrorReply(MethodNotAllowed(request.method, path, allow)));
    return nullptr;
  }
  if (endpoint) {
    const auto answer = std::make_shared<Answer>(server, *endpoint, channel);
    answer->Begin(std::move(request.body));
    return answer;
  }
  if (path == kHealthPath) {
    channel.Reply(HealthReply(server.engine));
  } else if (model) {
    channel.Reply(ModelReply(server, PercentDecode(path.substr(kModelsPrefix.size()))));
  } else {
    channel.Reply(ModelsReply(server));
  }
  return nullptr;
}

}  // namespace shoal
