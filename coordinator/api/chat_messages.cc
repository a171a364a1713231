#include "coordinator/api/chat_messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "coordinator/api/http_limits.h"

namespace shoal {

namespace {

using Json = nlohmann::ordered_json;

ApiError WrongType(const std::string& name, std::string_view expected, const Json& found) {
  return BadRequest(name,
                    fmt::format("{}: expected {}, got {}", name, expected, found.type_name()));
}

std::optional<ApiError> ReadRole(const std::string& name, Json& message) {
  constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant",
                                                      "tool"};
  const auto role = message.find("role");
  if (role == message.end() || role->is_null()) return MissingField(name);
  if (!role->is_string()) return WrongType(name, "a string", *role);
  const auto& text = role->get_ref<const std::string&>();
  if (std::find(kRoles.begin(), kRoles.end(), text) == kRoles.end()) {
    return BadRequest(name, fmt::format("{}: '{}' is not one of system, developer, user, "
                                        "assistant, tool",
                                        name, text.substr(0, 100)));
  }
  if (text == "developer") *role = "system";
  return std::nullopt;
}

// One string of an array of text parts.
std::optional<ApiError> JoinParts(const std::string& name, Json& content) {
  std::string joined;
  for (size_t i = 0; i < content.size(); ++i) {
    const Json& part = content[i];
    const std::string part_name = fmt::format("{}[{}]", name, i);
    if (!part.is_object()) return WrongType(part_name, "an object", part);
    const Json type = part.value("type", Json());
    if (!type.is_string()) return WrongType(part_name + ".type", "a string", type);
    if (type != "text") {
      return NotSupported(
          part_name, fmt::format("{}: parts of type '{}' are not supported, only text", part_name,
                                 type.get_ref<const std::string&>().substr(0, 100)));
    }
    const Json text = part.value("text", Json());
    if (!text.is_string()) return WrongType(part_name + ".text", "a string", text);
    if (i > 0) joined += '\n';
    joined += text.get_ref<const std::string&>();
  }
  content = std::move(joined);
  return std::nullopt;
}

std::optional<ApiError> ReadContent(const std::string& name, Json& message) {
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) {
    const bool calls = message.contains("tool_calls") && message["role"] == "assistant";
    return calls ? std::nullopt : std::make_optional(MissingField(name));
  }
  if (content->is_string()) return std::nullopt;
  if (content->is_array()) return JoinParts(name, *content);
  return WrongType(name, "a string or an array of parts", *content);
}

std::optional<ApiError> ReadToolCalls(const std::string& name, Json& message) {
  const auto calls = message.find("tool_calls");
  if (calls == message.end() || calls->is_null()) return std::nullopt;
  if (!calls->is_array()) return WrongType(name, "an array", *calls);
  for (size_t i = 0; i < calls->size(); ++i) {
    Json& call = (*calls)[i];
    const std::string call_name = fmt::format("{}[{}]", name, i);
    if (!call.is_object()) return WrongType(call_name, "an object", call);
    const auto function = call.find("function");
    if (function == call.end() || !function->is_object()) {
      return MissingField(call_name + ".function");
    }
    const auto arguments = function->find("arguments");
    if (arguments == function->end() || !arguments->is_string()) continue;
    std::string ignored;
    std::optional<Json> parsed =
        ParseBoundedJson(arguments->get_ref<const std::string&>(), ignored);
    if (parsed && parsed->is_object()) *arguments = std::move(*parsed);
  }
  return std::nullopt;
}

}  // namespace

void ReadMessages(FieldReader& fields, Json& chat) {
  const Json* field = fields.Find("messages");
  if (field == nullptr) return fields.Fail(MissingField("messages"));
  if (!field->is_array()) return fields.FailType("messages", "an array of messages");
  if (field->empty()) return fields.Fail(BadRequest("messages", "messages: the array is empty"));
  if (field->size() > HttpLimits::kMaxMessages) {
    return fields.Fail(
        BadRequest("messages", fmt::format("messages: {} messages, the limit is {}", field->size(),
                                           HttpLimits::kMaxMessages)));
  }
  Json messages = *field;
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string name = fmt::format("messages[{}]", i);
    Json& message = messages[i];
    if (!message.is_object()) return fields.Fail(WrongType(name, "an object", message));
    std::optional<ApiError> error = ReadRole(name + ".role", message);
    if (!error) error = ReadToolCalls(name + ".tool_calls", message);
    if (!error) error = ReadContent(name + ".content", message);
    if (error) return fields.Fail(std::move(*error));
  }
  chat["messages"] = std::move(messages);
}

}  // namespace shoal
