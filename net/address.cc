#include "net/address.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "net/tunnel/preamble.h"

namespace shoal {

namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr std::string_view kRelayPrefix = "relay:";
constexpr size_t kMaxUnixPathBytes = 107;  // sockaddr_un's room
constexpr size_t kMaxHostBytes = 253;      // of a DNS name

Error BadAddress(std::string_view text, std::string_view why) {
  return InvalidArgument(
      fmt::format("address '{}': {}; expected HOST:PORT, [IPV6]:PORT, unix:/PATH or relay:NAME",
                  text.substr(0, kMaxHostBytes), why));
}

bool ReadPort(std::string_view text, uint16_t& port) {
  const char* end = text.data() + text.size();
  const auto [last, failed] = std::from_chars(text.data(), end, port);
  return !text.empty() && failed == std::errc() && last == end;
}

// Whether a name or IP address could stand there: no spaces, control characters or brackets.
bool IsHost(std::string_view host) {
  if (host.empty() || host.size() > kMaxHostBytes) return false;
  return std::all_of(host.begin(), host.end(),
                     [](char c) { return c > ' ' && c < 0x7f && c != '[' && c != ']'; });
}

}  // namespace

bool Address::is_local() const {
  if (is_unix() || host == "localhost" || host == "::1") return true;
  if (host.rfind("127.", 0) != 0) return false;
  return host.find_first_not_of("0123456789.") == std::string::npos;
}

std::string Address::ToString() const {
  if (is_unix()) return std::string(kUnixPrefix) + unix_path;
  if (is_relay() && port == 0) return std::string(kRelayPrefix) + relay_node;
  if (is_relay()) return fmt::format("{}{}:{}", kRelayPrefix, relay_node, port);
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

Result<Address> ParseAddress(std::string_view text) {
  Address address;
  if (text.substr(0, kUnixPrefix.size()) == kUnixPrefix) {
    address.unix_path = text.substr(kUnixPrefix.size());
    if (address.unix_path.empty() || address.unix_path[0] != '/') {
      return BadAddress(text, "the socket's path is not absolute");
    }
    if (address.unix_path.find('\0') != std::string::npos) {
      return BadAddress(text, "the path has a zero byte");
    }
    if (address.unix_path.size() > kMaxUnixPathBytes) {
      return BadAddress(text, fmt::format("the path has {} bytes, the limit is {}",
                                          address.unix_path.size(), kMaxUnixPathBytes));
    }
    return address;
  }
  if (text.substr(0, kRelayPrefix.size()) == kRelayPrefix) {
    const std::string_view rest = text.substr(kRelayPrefix.size());
    const size_t colon = rest.find(':');
    address.relay_node = rest.substr(0, colon);
    if (!IsTunnelName(address.relay_node)) return BadAddress(text, "the node's name is none");
    if (colon != std::string_view::npos && !ReadPort(rest.substr(colon + 1), address.port)) {
      return BadAddress(text, "the hub's port is not in [0, 65535]");
    }
    return address;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return BadAddress(text, "there is no port");
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    if (host.find(':') == std::string_view::npos) {
      return BadAddress(text, "brackets hold an IPv6 address");
    }
  } else if (host.find(':') != std::string_view::npos) {
    return BadAddress(text, "an IPv6 address needs brackets");
  }
  if (!IsHost(host)) return BadAddress(text, "there is no valid host");
  if (!ReadPort(port, address.port)) {
    return BadAddress(
        text, fmt::format("the port '{}' is not in [0, 65535]", port.substr(0, kMaxHostBytes)));
  }
  address.host = host;
  return address;
}

}  // namespace shoal
