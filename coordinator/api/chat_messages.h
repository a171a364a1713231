// The messages of a chat request, checked and put into the form that chat templates expect.
#pragma once

#include <nlohmann/json.hpp>

#include "coordinator/api/json_fields.h"

namespace shoal {

// Reads "messages" into chat["messages"]:
//   - roles system, developer (becomes system), user, assistant, tool;
//   - content: a string; an array of text parts, joined by newlines; or nothing beside tool_calls;
//   - tool_calls, tool_call_id, name and other fields as they are, but a tool call's arguments as
//     an object if the string is one: templates write it as JSON again.
// Errors: the message at fault by its index (param "messages[2].content").
void ReadMessages(FieldReader& fields, nlohmann::ordered_json& chat);

}  // namespace shoal
