// Which request goes where.
#pragma once

#include <memory>

#include "coordinator/api/exchange.h"

namespace shoal {

// Answers at once over `channel` and returns null, or returns the exchange that will.
std::shared_ptr<Exchange> Dispatch(ServerContext& server, HttpRequest request,
                                   ReplyChannel& channel);

}  // namespace shoal
