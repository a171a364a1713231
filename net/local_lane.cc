#include "net/local_lane.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "net/channel.h"
#include "net/unix_socket.h"

namespace shoal {

namespace {

constexpr size_t kPrefixBytes = 4;
constexpr size_t kReadBytes = 64 << 10;  // asked for at once, so that most messages take one call

static_assert(std::endian::native == std::endian::little, "as lengths are sent");

Error Closed() { return Unavailable("the other process closed the lane"); }

Status CheckLength(size_t bytes) {
  if (bytes <= size_t{kMaxMessageBytes}) return OkStatus();
  return InvalidArgument(
      fmt::format("a message of {} bytes, the limit is {}", bytes, kMaxMessageBytes));
}

}  // namespace

Result<LocalLane> LocalLane::Connect(const std::string& path) {
  ASSIGN_OR_RETURN(FileDescriptor socket, ConnectToUnixSocket(path));
  return LocalLane(std::move(socket));
}

Status LocalLane::Send(const google::protobuf::MessageLite& message) {
  const size_t size = message.ByteSizeLong();
  RETURN_IF_ERROR(CheckLength(size));
  const auto length = static_cast<uint32_t>(size);
  const size_t total = kPrefixBytes + size;
  if (out_.size() < total) out_.resize(total);
  std::memcpy(out_.data(), &length, kPrefixBytes);
  message.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(out_.data()) + kPrefixBytes);
  for (size_t sent = 0; sent < total;) {
    const ssize_t now = ::send(socket_.get(), out_.data() + sent, total - sent, MSG_NOSIGNAL);
    if (now < 0 && errno == EINTR) continue;
    if (now <= 0) return Closed();
    sent += static_cast<size_t>(now);
  }
  return OkStatus();
}

// Until so many bytes are there. Room grows as they come: a length alone takes no memory.
Status LocalLane::Fill(size_t bytes) {
  while (filled_ < bytes) {
    if (filled_ == in_.size()) {
      in_.resize(std::max(kReadBytes, std::min(bytes, 2 * in_.size())));
    }
    const ssize_t now = ::recv(socket_.get(), in_.data() + filled_, in_.size() - filled_, 0);
    if (now < 0 && errno == EINTR) continue;
    if (now <= 0) return Closed();
    filled_ += static_cast<size_t>(now);
  }
  return OkStatus();
}

Status LocalLane::Receive(google::protobuf::MessageLite& message) {
  RETURN_IF_ERROR(Fill(kPrefixBytes));
  uint32_t length = 0;
  std::memcpy(&length, in_.data(), kPrefixBytes);
  RETURN_IF_ERROR(CheckLength(length));
  const size_t total = kPrefixBytes + length;
  RETURN_IF_ERROR(Fill(total));
  if (!message.ParseFromArray(in_.data() + kPrefixBytes, static_cast<int>(length))) {
    return InvalidArgument(fmt::format("{} bytes that are no message", length));
  }
  filled_ -= total;
  std::memmove(in_.data(), in_.data() + total, filled_);
  return OkStatus();
}

void LocalLane::Shutdown() { ::shutdown(socket_.get(), SHUT_RDWR); }

Result<LaneListener> LaneListener::Open(const std::string& path) {
  ASSIGN_OR_RETURN(FileDescriptor socket, ListenOnUnixSocket(path, 1));
  return LaneListener(std::move(socket), path);
}

LaneListener::~LaneListener() {
  if (socket_.is_open()) ::unlink(path_.c_str());
}

Result<LocalLane> LaneListener::Accept() {
  pollfd waiting = {socket_.get(), POLLIN, 0};
  FileDescriptor socket;
  if (::poll(&waiting, 1, 0) == 1) {
    socket = FileDescriptor(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  if (!socket.is_open()) return FailedPrecondition("unix:" + path_ + ": nobody has come");
  return LocalLane(std::move(socket));
}

}  // namespace shoal
