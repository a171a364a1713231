// `shoal node`: serves one shard to a coordinator.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/file_lock.h"
#include "base/log.h"
#include "base/wall_clock.h"
#include "model/gguf/gguf_file.h"
#include "net/channel.h"
#include "net/host_addresses.h"
#include "node/profiler.h"
#include "node/service/mesh_member.h"
#include "node/service/node_service.h"
#include "tools/cache_folder.h"
#include "tools/commands.h"
#include "tools/host_name.h"
#include "tools/kernel_choice.h"
#include "tools/node_keeper.h"
#include "tools/policy_options.h"
#include "tools/runtime_folder.h"
#include "tools/signals.h"
#include "tools/state_folder.h"
#include "tools/terminal.h"
#include "tools/threads_option.h"
#include "tools/tunnel_ends.h"
#include "tools/units.h"

namespace shoal {

namespace {

constexpr uint16_t kDefaultPort = 7701;

struct NodeCommandOptions {
  std::string listen = fmt::format("0.0.0.0:{}", kDefaultPort);
  std::string dial;
  std::string join;
  std::string state;
  std::string log_level = "info";
  PolicyFlags policy;
  std::string store;
  int64_t store_quota_gib = 64;
  int64_t max_upload_mbit = 0;
  bool exit_with_stdin = false;
  bool inexact_blas = false;
  NodeOptions node;
};

// The node's membership while it runs. The end of it, if the mesh ends it, ends the process.
struct MeshStay {
  std::string machine = MachineMark();
  std::optional<FileLock> lock;  // one process for each identity
  std::string folder;
  CoordinatorContact coordinator;
  std::mutex mutex;  // guards refused
  std::optional<Error> refused;
  std::unique_ptr<MeshMember> member;

  std::string WhyItEnds() {
    const std::lock_guard guard(mutex);
    return refused ? refused->message : "it is being stopped";
  }
};

// A code that ran out since is no error on a device that it let in: services start with the same
// command line every time.
Status Join(NodeCommandOptions& options, MeshStay& membership) {
  std::string text = options.join;
  if (text == "-" && !std::getline(std::cin, text)) {
    return InvalidArgument("--join -: there is no pairing code on stdin");
  }
  ASSIGN_OR_RETURN(const PairingCode code, DecodePairingCode(text));
  std::string name = options.node.name.empty() ? HostName() : options.node.name;
  if (name.empty()) name = "node";
  const Result<std::string> joined = JoinMesh(code, name, membership.folder, membership.machine);
  if (joined.ok()) {
    spdlog::info("joined the mesh as {}", *joined);
    return OkStatus();
  }
  const Result<OwnIdentity> before =
      LoadIdentity(membership.folder, membership.machine, UnixNowS());
  if (!before.ok()) return joined.error();
  spdlog::warn("did not join anew: {}", joined.error().message);
  return OkStatus();
}

// Reads who this node is, after it has joined if it was told to.
Status EnterMesh(NodeCommandOptions& options, MeshStay& membership) {
  ASSIGN_OR_RETURN(const std::string state, StateFolder(options.state));
  membership.folder = state + "/node";
  std::error_code failed;
  std::filesystem::create_directories(membership.folder, failed);
  Result<FileLock> lock = FileLock::Try(membership.folder + "/lock");
  if (!lock.ok() && lock.error().code == ErrorCode::kUnavailable) {
    return lock.error().WithContext("another shoal node runs with this identity");
  }
  if (!lock.ok()) return lock.error();
  membership.lock.emplace(std::move(*lock));
  if (!options.join.empty()) {
    // It may take half a minute, and can be repeated.
    const SignalListener interrupted([](int number) { std::_Exit(128 + number); });
    RETURN_IF_ERROR(Join(options, membership));
  }
  Result<OwnIdentity> own = LoadIdentity(membership.folder, membership.machine, UnixNowS());
  if (!own.ok() && own.error().code == ErrorCode::kNotFound) {
    return FailedPrecondition(fmt::format(
        "{}: this device belongs to no mesh yet: 'shoal nodes invite' on the coordinator prints a "
        "pairing code, for 'shoal node --join CODE' here",
        options.dial.empty() ? options.listen : options.dial));
  }
  if (!own.ok()) {
    return Error{
        own.error().code,
        own.error().message + "; --join CODE, with a new pairing code, makes it a new one"};
  }
  ASSIGN_OR_RETURN(membership.coordinator, LoadContact(membership.folder));
  options.node.credentials = std::make_shared<Credentials>(std::move(*own));
  options.node.credentials->SetRevoked(LoadRevoked(membership.folder));
  return OkStatus();
}

// At once: the coordinator would only find out when it dials.
void WarnIfUnreachable(const Address& listen, const CoordinatorContact& coordinator) {
  if (!listen.is_local() || listen.is_unix()) return;
  const std::vector<HostAddress> own = HostAddresses();
  const auto is_elsewhere = [&](const Address& address) { return IsElsewhere(address, own); };
  if (!std::all_of(coordinator.addresses.begin(), coordinator.addresses.end(), is_elsewhere))
    return;
  spdlog::warn(
      "it listens on {}, where no other device reaches it, but its coordinator is another one: "
      "start it with --listen 0.0.0.0:{}, or with --dial",
      listen.ToString(), listen.port == 0 ? kDefaultPort : listen.port);
}

// Where the mesh reaches this node.
std::string MemberAddress(const NodeCommandOptions& options, const NodeServer& server) {
  if (options.dial.empty()) return server.address().ToString();
  return Address{{}, {}, 0, options.node.credentials->self().id}.ToString();
}

void StayInMesh(const NodeCommandOptions& options, MeshStay& membership, NodeServer& server) {
  MemberOptions member = {membership.coordinator, membership.folder, membership.machine,
                          MemberAddress(options, server), server.service().instance()};
  membership.member = std::make_unique<MeshMember>(
      std::move(member), options.node.credentials, [&server] { server.service().EndIfRevoked(); },
      [&membership](Error error) {
        {
          const std::lock_guard lock(membership.mutex);
          membership.refused = std::move(error);
        }
        ::kill(::getpid(), SIGTERM);
      });
}

Status ServeNode(NodeCommandOptions& options) {
  BlockTerminationSignals();
  LeaveGrpcRunning();
  std::optional<RuntimeFolder> folder;
  if (!options.dial.empty()) {
    ASSIGN_OR_RETURN(folder, RuntimeFolder::Make());
    options.listen = fmt::format("unix:{}/own-port", folder->path());
  }
  const std::string log_name = options.node.name.empty() ? options.listen : options.node.name;
  RETURN_IF_ERROR(InitLogging(log_name, options.log_level));
  ASSIGN_OR_RETURN(const kernels::KernelTable* kernels, ChooseKernels(options.inexact_blas));
  ASSIGN_OR_RETURN(options.node.listen, ParseAddress(options.listen));
  // A coordinator's local nodes are as available as it is itself.
  std::string state_folder;
  if (!options.exit_with_stdin) {
    ASSIGN_OR_RETURN(state_folder, StateFolder(options.state));
  }
  ASSIGN_OR_RETURN(const NodeAllowance allowance, ReadAllowance(options.policy, state_folder));
  RETURN_IF_ERROR(UseShareOfCpu(allowance, options.node.threads));
  if (!options.node.model_path.empty()) {
    RETURN_IF_ERROR(GgufFile::Open(options.node.model_path));
  }
  options.node.cache_folder = CacheFolder();
  options.node.memory_limit_bytes = allowance.memory_limit_mib << 20;
  // A node that dials out serves coordinators on other machines, although its own port is here.
  options.node.open_named_files = options.store.empty() && options.dial.empty();
  options.node.store_folder = options.store;
  if (options.store.empty() && !options.node.cache_folder.empty()) {
    options.node.store_folder = options.node.cache_folder + "/store";
    options.node.needs_store = false;
  }
  options.node.store_quota_bytes = options.store_quota_gib << 30;
  options.node.max_upload_bytes_per_s = options.max_upload_mbit * kBytesPerSInMbit;
  MeshStay membership;
  const bool is_member = !options.node.listen.is_unix() || folder;
  if (is_member) {
    RETURN_IF_ERROR(EnterMesh(options, membership));
    WarnIfUnreachable(options.node.listen, membership.coordinator);
  }
  if (options.node.name.empty()) options.node.name = options.listen;
  std::unique_ptr<NodeEnd> tunnels;
  std::optional<RelayEnd> relays;
  if (folder) {
    ASSIGN_OR_RETURN(const Address hub, TcpAddress("--dial", options.dial));
    ASSIGN_OR_RETURN(tunnels,
                     NodeEnd::Start(hub, options.node.credentials, options.node.listen, *folder));
    options.node.relay = [&](const std::string& node, const Address& /*hub*/) {
      return tunnels->client().RelayTo(node);
    };
  } else if (is_member) {
    relays.emplace(options.node.credentials);
    options.node.relay = [&](const std::string& node, const Address& hub) {
      return relays->RelayTo(node, hub);
    };
  }
  ASSIGN_OR_RETURN(std::unique_ptr<NodeServer> server, NodeServer::Start(options.node, *kernels));
  if (is_member) StayInMesh(options, membership, *server);
  const SteadyClock clock;
  std::unique_ptr<NodeKeeper> keeper;
  if (!options.exit_with_stdin) {
    keeper = std::make_unique<NodeKeeper>(
        allowance.policy, NodeControlPath(state_folder), clock,
        [&](const std::optional<std::string>& reason) { server->SetUnavailable(reason); });
  }
  if (folder) {
    std::printf("dialling %s\n", options.dial.c_str());
  } else {
    std::printf("listening on %s\n", server->address().ToString().c_str());
  }
  std::fflush(stdout);
  WaitForTermination(options.exit_with_stdin ? STDIN_FILENO : -1);
  spdlog::info("shutting down");
  {
    const SignalListener impatient([](int number) { std::_Exit(128 + number); });
    keeper.reset();
    server->SetUnavailable(membership.WhyItEnds());
  }
  membership.member.reset();
  server.reset();
  // The last of a coordinator's local nodes removes their folder, also where the coordinator was
  // killed; for the others it is not empty yet.
  if (options.exit_with_stdin && options.node.listen.is_unix()) {
    std::error_code ignored;
    const std::filesystem::path socket = options.node.listen.unix_path;
    std::filesystem::remove(socket, ignored);
    std::filesystem::remove(socket.parent_path(), ignored);
  }
  if (membership.refused) return *membership.refused;
  return OkStatus();
}

}  // namespace

void AddNodeCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<NodeCommandOptions>();
  CLI::App* command = app.add_subcommand("node", "Serve a part of a model to a coordinator");
  auto* listen =
      command->add_option("--listen", options->listen, "HOST:PORT (port 0: any) or unix:/PATH");
  listen->capture_default_str();
  command
      ->add_option("--dial", options->dial,
                   "Listen nowhere, but dial out to the HOST:PORT of a coordinator's --hub-listen")
      ->excludes(listen);
  command->add_option(
      "--model", options->node.model_path,
      "GGUF file to serve from; without it, a coordinator on this machine names one, or sends it");
  command->add_option(
      "--store", options->store,
      "Folder for weights that are fetched (default: in the cache folder); with it, "
      "no file that a coordinator names is opened");
  command->add_option("--store-quota", options->store_quota_gib, "GiB that the store may hold")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command
      ->add_option("--max-upload", options->max_upload_mbit,
                   "Mbit/s of weights sent to other nodes, at most (default: unlimited)")
      ->check(CLI::Range(1, 1'000'000));
  command->add_option("--name", options->node.name,
                      "Name in messages, and that to join with (default: the address; the host's)");
  options->node.threads = 0;
  AddThreadsOption(*command, options->node.threads);
  AddPolicyOptions(*command, options->policy);
  command->add_option(
      "--join", options->join,
      "Pairing code of the mesh to join (-: from stdin); the next start needs none");
  command->add_option("--state", options->state, kStateHelp);
  command->add_flag("--inexact-blas", options->inexact_blas, kInexactBlasHelp);
  command->add_flag("--exit-with-stdin", options->exit_with_stdin,
                    "End when stdin is closed (for a parent process)");
  command->add_option("--log-level", options->log_level,
                      "trace, debug, info, warn, error or off (on stderr)");
  AddNodePauseCommands(*command, exit_code);
  command->callback([command, options, &exit_code] {
    if (!command->get_subcommands().empty()) return;
    const Status served = ServeNode(*options);
    if (!served.ok()) exit_code = Fail("node", served.error());
  });
}

}  // namespace shoal
