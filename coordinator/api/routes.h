// Which request goes where.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "coordinator/api/exchange.h"

namespace shoal {

// Answers without a key.
constexpr std::string_view kHealthPath = "/health";
// A target's path, without query and fragment.
std::string PathOf(const std::string& target);

// Answers at once over `channel` and returns null, or returns the exchange that will.
std::shared_ptr<Exchange> Dispatch(ServerContext& server, HttpRequest request,
                                   ReplyChannel& channel);

}  // namespace shoal
