#include "coordinator/api/local_caller.h"

#include <algorithm>
#include <string>

namespace shoal {

namespace {

bool IsLocalName(std::string_view name) {
  constexpr std::string_view kSuffix = ".localhost";
  if (name == "localhost" || name.ends_with(kSuffix) || name == "[::1]") return true;
  return name.starts_with("127.") &&
         name.find_first_not_of("0123456789.") == std::string_view::npos;
}

// "NAME", "NAME:PORT" or "[ADDRESS]:PORT" -> "NAME" or "[ADDRESS]", in lower case.
std::string NameOf(std::string_view authority) {
  const size_t end = authority.starts_with('[') ? authority.find(']') + 1 : authority.find(':');
  std::string name(authority.substr(0, end));
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return name;
}

}  // namespace

bool IsLocalCaller(std::string_view host, std::string_view origin) {
  if (!host.empty() && !IsLocalName(NameOf(host))) return false;
  if (origin.empty()) return true;
  const size_t scheme = origin.find("://");
  return scheme != std::string_view::npos && IsLocalName(NameOf(origin.substr(scheme + 3)));
}

}  // namespace shoal
