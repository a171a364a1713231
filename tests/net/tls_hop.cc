// What TLS costs on a hop, by hand: the pipeline's kind of stream over one socket, in plain text
// and encrypted, and over TCP on this machine. Prints the table of docs/security.md.
#include <fmt/format.h>
#include <grpcpp/server.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "net/channel.h"
#include "net/link_probe.h"
#include "tests/net/test_credentials.h"

namespace shoal {
namespace {

constexpr uint64_t kInstance = 1;
constexpr int kRuns = 9;  // of each, in turn; the median is shown

class Probed final : public v1::Pipeline::Service {
 public:
  grpc::Status Probe(grpc::ServerContext* context, ProbeServerStream* stream) override {
    return server_.Serve(*context, *stream, kProbeBudgetBytes);
  }

 private:
  ProbeServer server_{kInstance};
};

struct Case {
  std::string name;
  Address address;
  bool tls = false;
  std::vector<double> round_trip_us;
  std::vector<double> mb_per_s;
};

double Median(std::vector<double>& values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Serves and measures one run.
Status Measure(const TestCredentials& mesh, Case& one) {
  Probed service;
  grpc::ServerBuilder builder;
  int port = 0;
  ConfigureServer(builder, one.address, one.tls ? mesh.server() : nullptr, &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return Unavailable("cannot listen on " + one.address.ToString());
  Address address = one.address;
  if (!address.is_unix()) address.port = static_cast<uint16_t>(port);
  const Result<LinkMeasurement> link =
      ProbeLink({one.name, address, one.tls ? mesh.trust() : Trust{}, kInstance}, SteadyClock());
  server->Shutdown(std::chrono::system_clock::now());
  if (!link.ok()) return link.error();
  one.round_trip_us.push_back(1e6 * link->round_trip_s);
  one.mb_per_s.push_back(1e-6 * link->send_bytes_per_s);
  return OkStatus();
}

Status Run() {
  const TestCredentials mesh;
  const TempDir folder;
  const Address socket{folder.path() + "/s", "", 0};
  const Address tcp{"", "127.0.0.1", 0};
  std::vector<Case> cases = {{"Unix socket, plain text", socket, false, {}, {}},
                             {"Unix socket, TLS 1.3", socket, true, {}, {}},
                             {"TCP on this machine, TLS 1.3", tcp, true, {}, {}}};
  for (int run = 0; run < kRuns; ++run) {
    for (Case& one : cases) RETURN_IF_ERROR(Measure(mesh, one));
  }
  fmt::print("| link | round trip, us | MB/s |\n|---|---|---|\n");
  for (Case& one : cases) {
    fmt::print("| {} | {:.0f} | {:.0f} |\n", one.name, Median(one.round_trip_us),
               Median(one.mb_per_s));
  }
  return OkStatus();
}

}  // namespace
}  // namespace shoal

int main() {
  shoal::RequireTls13();
  const shoal::Status done = shoal::Run();
  if (!done.ok()) fmt::print(stderr, "{}\n", done.error().message);
  return done.ok() ? 0 : 1;
}
