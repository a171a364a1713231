// Who may use a server that has no keys: programs of this machine. A web page of somebody else that
// its user looks at is none of them, although the browser that sends its requests is: such requests
// name another origin, or another host, which a name server of theirs has turned into this one.
#pragma once

#include <string_view>

namespace shoal {

// `host` and `origin` are the headers of these names; empty: there is none.
bool IsLocalCaller(std::string_view host, std::string_view origin);

}  // namespace shoal
