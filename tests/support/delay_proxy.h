// A TCP proxy that hands every byte on a fixed time after it came: latency without a limit on
// bandwidth, on machines whose kernel cannot delay packets.
//
// Thread rule: runs threads of its own, two for each connection; Start and the destructor from one.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"

namespace shoal {

class DelayProxy {
 public:
  // Listens on listen_port (0: any) of every address of this machine and connects to
  // `target_host` (an IPv4 address): `delay` later each way. Errors: the port cannot be had.
  static Result<std::unique_ptr<DelayProxy>> Start(std::chrono::microseconds delay,
                                                   uint16_t listen_port,
                                                   const std::string& target_host,
                                                   uint16_t target_port);
  // Breaks every connection.
  ~DelayProxy();

  uint16_t port() const { return port_; }

 private:
  class Connection;
  DelayProxy() = default;
  void AcceptThreadMain();

  std::chrono::microseconds delay_{0};
  std::string target_host_;
  uint16_t target_port_ = 0;
  uint16_t port_ = 0;
  int listener_ = -1;
  std::thread accept_thread_;
  std::vector<std::unique_ptr<Connection>> connections_;  // the accepting thread's, then ours
};

}  // namespace shoal
