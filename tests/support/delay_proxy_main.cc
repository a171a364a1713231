// delay_proxy DELAY_US LISTEN_PORT TARGET_HOST TARGET_PORT: runs until stdin is closed. For
// tests/tools/predict.py, in network namespaces.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "tests/support/delay_proxy.h"

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: %s DELAY_US LISTEN_PORT TARGET_HOST TARGET_PORT\n", argv[0]);
    return 2;
  }
  const auto proxy = shoal::DelayProxy::Start(std::chrono::microseconds(std::atoi(argv[1])),
                                              static_cast<uint16_t>(std::atoi(argv[2])), argv[3],
                                              static_cast<uint16_t>(std::atoi(argv[4])));
  if (!proxy.ok()) {
    std::fprintf(stderr, "delay_proxy: %s\n", proxy.error().message.c_str());
    return 1;
  }
  std::printf("listening on %d\n", (*proxy)->port());
  std::fflush(stdout);
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return 0;
}
