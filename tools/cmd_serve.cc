// `shoal serve`: the OpenAI-compatible server.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/atomic_file.h"
#include "base/log.h"
#include "base/wall_clock.h"
#include "coordinator/api/api_keys.h"
#include "coordinator/api/http_server.h"
#include "coordinator/service/mesh_server.h"
#include "coordinator/service/mesh_state.h"
#include "coordinator/text_model.h"
#include "net/address.h"
#include "net/discovery.h"
#include "net/identity/x509.h"
#include "tools/api_key_path.h"
#include "tools/commands.h"
#include "tools/https_files.h"
#include "tools/mesh_nodes.h"
#include "tools/model_session.h"
#include "tools/qr_code.h"
#include "tools/signals.h"
#include "tools/state_folder.h"
#include "tools/terminal.h"
#include "tools/threads_option.h"

namespace shoal {

namespace {

constexpr int kDefaultSessions = 4;
constexpr int32_t kDefaultQueueTimeoutS = 300;
// Options that a start without a model finds as the last start had them: those that say how a model
// is served, none that says who may use the API or where.
constexpr const char* kRemembered[] = {"--context",    "--hub-listen",    "--kv-type",
                                       "--max-upload", "--mesh-listen",   "--model-id",
                                       "--plan",       "--prefill-chunk", "--queue-timeout",
                                       "--sessions",   "--spares",        "--wire"};

struct ServeOptions {
  SessionOptions session;
  std::string listen = "127.0.0.1:8080";
  std::string model_id;
  HttpsChoice https;
  std::string mesh_listen;  // empty: the default, where it is free
  bool pair = false;
};

// Without a key, the API answers only on this machine.
Status CheckExposure(const Address& address, const HttpServerOptions& server) {
  if (address.is_local()) return OkStatus();
  ASSIGN_OR_RETURN(const std::vector<ApiKey> keys, LoadApiKeys(server.api_keys_path));
  if (keys.empty()) {
    return FailedPrecondition(fmt::format(
        "--listen {}: other machines could reach this address, and there is no API key; make one "
        "with 'shoal keys add NAME', or use 127.0.0.1",
        address.ToString()));
  }
  if (!server.tls) {
    spdlog::warn(
        "{} is reachable from the network without encryption: who listens there learns the "
        "API keys; use --tls self, or --tls-cert and --tls-key",
        address.ToString());
  }
  return OkStatus();
}

Result<HttpServerOptions> ServerOptions(const ServeOptions& options) {
  ASSIGN_OR_RETURN(const Address address, ParseAddress(options.listen));
  if (address.is_unix()) return InvalidArgument("--listen: the HTTP server takes HOST:PORT");
  ASSIGN_OR_RETURN(const std::string state_folder, StateFolder(options.session.state));
  HttpServerOptions server;
  server.host = address.host == "localhost" ? "127.0.0.1" : address.host;
  server.port = address.port;
  server.model_id = options.model_id.empty()
                        ? std::filesystem::path(options.session.model).stem().string()
                        : options.model_id;
  server.created_unix_s = UnixNowS();
  server.api_keys_path = ApiKeyPath(state_folder);
  ASSIGN_OR_RETURN(server.tls, ChooseHttpsFiles(options.https, address.host, state_folder));
  RETURN_IF_ERROR(CheckExposure(address, server));
  return server;
}

void SayCertificate(const TlsFiles& files) {
  const Result<std::string> pem = ReadFileUpTo(files.certificate, kMaxPemBytes);
  if (!pem.ok()) return;
  const Result<CertificateFacts> facts = ReadCertificate(*pem);
  if (!facts.ok()) return;
  fmt::print(stderr, "certificate {}\n    SHA-256 {}\n", files.certificate,
             FingerprintText(facts->fingerprint));
  const int64_t now_s = UnixNowS();
  if (now_s > facts->not_after_unix_s || now_s < facts->not_before_unix_s) {
    spdlog::warn(
        "clients will refuse this certificate: it is valid from {:%Y-%m-%d} to {:%Y-%m-%d}",
        fmt::gmtime(static_cast<std::time_t>(facts->not_before_unix_s)),
        fmt::gmtime(static_cast<std::time_t>(facts->not_after_unix_s)));
  }
}

// As this start was given them, or took them up.
std::map<std::string, std::string> OptionsToRemember(const CLI::App& command) {
  std::map<std::string, std::string> given;
  for (const char* name : kRemembered) {
    const CLI::Option* const option = command.get_option(name);
    if (option->count() > 0) given[name] = option->results().front();
  }
  return given;
}

// Neither it nor one that excludes it was given.
bool IsOpen(const CLI::Option& option) {
  const std::set<CLI::Option*> others = option.get_excludes();
  return option.count() == 0 && std::none_of(others.begin(), others.end(),
                                             [](const auto* other) { return other->count() > 0; });
}

// Gives the command what it was given last and is not given anew.
Status TakeUpOptions(const std::map<std::string, std::string>& last, bool over_members,
                     CLI::App& command) {
  std::string taken;
  for (const std::string name : kRemembered) {
    if (name.ends_with("-listen") && !over_members) continue;  // nobody joins a local pipeline
    CLI::Option* const option = command.get_option(name);
    const auto value = last.find(name);
    if (value == last.end() || !IsOpen(*option)) continue;
    try {
      option->add_result(value->second)->run_callback();
    } catch (const CLI::ParseError& error) {
      return DataLoss(error.what());
    }
    taken += fmt::format(" {} {}", name, value->second);
  }
  if (!taken.empty()) spdlog::info("as before:{}", taken);
  return OkStatus();
}

// Without a model: what was served last, over the same nodes.
Status Recall(SessionOptions& session, CLI::App& command) {
  ASSIGN_OR_RETURN(session.state_folder, StateFolder(session.state));
  if (!session.model.empty()) return OkStatus();
  const Result<MeshState> last = ReadMeshState(session.state_folder);
  if (!last.ok()) {
    return InvalidArgument("MODEL: which one? None was served over nodes so far: " +
                           last.error().message);
  }
  session.model = last->model_path;
  const bool own_split = !session.split.empty() && session.nodes.empty() && last->all_members;
  const bool over_members = session.local_nodes == 0 && !own_split;
  session.recalled = session.plan.empty() && session.split.empty() && session.nodes.empty();
  const Status taken = TakeUpOptions(last->options, over_members, command);
  if (!taken.ok()) return taken.error().WithContext(MeshStatePath(session.state_folder));
  if (!session.nodes.empty() || session.local_nodes > 0 || last->all_members) return OkStatus();
  // Members by name: they may be at another address by now.
  for (const MeshState::Node& node : last->nodes) {
    session.nodes.push_back(node.address.starts_with("unix:") ? node.address : node.name);
  }
  return OkStatus();
}

// On stderr, which a service's log may keep: only where somebody asked or watches.
Status ShowPairingCode(const MeshAuthority& mesh, const Address& listen) {
  ASSIGN_OR_RETURN(const std::string code, IssuePairingCode(mesh, ReachableAddresses(listen)));
  const std::string picture = ::isatty(STDERR_FILENO) == 1 ? QrCode(code) : std::string();
  fmt::print(stderr, "to add a device, within {} minutes: shoal node --join {}\n{}",
             kCodeLifeS / 60, code, picture);
  return OkStatus();
}

// Hands nodes that join to the session, once there is one.
class NewNodes {
 public:
  explicit NewNodes(const std::shared_ptr<MeshAuthority>& mesh) : mesh_(mesh) {}

  void OnArrival(const Member& member) {
    const std::lock_guard lock(mutex_);
    if (session_ == nullptr) {
      early_.push_back(member.name);
    } else {
      Add(member.name);
    }
  }
  // `session` outlives this object, or null is set before it ends.
  void SetSession(ModelSession* session) {
    const std::lock_guard lock(mutex_);
    session_ = session;
    if (session == nullptr) return;
    for (const std::string& name : std::exchange(early_, {})) Add(name);
  }

 private:
  void Add(const std::string& name) {
    const Result<MeshNode> node = FindNode(name, mesh_.get());
    const Status added = node.ok() ? session_->AddNode(*node) : node.error();
    if (added.ok()) {
      spdlog::info("node {} is here", name);
    } else if (added.error().code != ErrorCode::kInvalidArgument) {
      spdlog::info("node {} is here: {}", name, added.error().message);
    }
  }

  const std::shared_ptr<MeshAuthority> mesh_;
  std::mutex mutex_;  // guards what follows
  ModelSession* session_ = nullptr;
  std::vector<std::string> early_;
};

// Lets nodes join and say where they are. Null where that is of no use: the nodes are local, or
// there is none and nobody watches who could add one.
Result<std::unique_ptr<MeshServer>> StartMeshServer(ServeOptions& options,
                                                    std::unique_ptr<NewNodes>& arrivals) {
  std::unique_ptr<MeshServer> none;
  const bool asked = options.pair || !options.mesh_listen.empty();
  if (options.session.local_nodes > 0 && !asked) return none;
  const bool watched = options.session.nodes.empty() && ::isatty(STDERR_FILENO) == 1;
  Result<std::unique_ptr<MeshAuthority>> mesh =
      asked || watched ? OpenMesh(options.session.state) : FindMesh(options.session.state);
  if (!mesh.ok() && asked) return mesh.error();
  if (!mesh.ok()) spdlog::warn("no node can join: {}", mesh.error().message);
  if (!mesh.ok() || *mesh == nullptr) return none;
  options.session.mesh = std::move(*mesh);
  ASSIGN_OR_RETURN(const Roster roster, options.session.mesh->roster().Read());
  if (!asked && !watched && roster.members.empty()) return none;
  ASSIGN_OR_RETURN(
      const Address listen,
      ParseAddress(options.mesh_listen.empty() ? kDefaultMeshListen : options.mesh_listen));
  if (listen.is_unix()) return InvalidArgument("--mesh-listen takes HOST:PORT");
  arrivals = std::make_unique<NewNodes>(options.session.mesh);
  Result<std::unique_ptr<MeshServer>> server =
      MeshServer::Start({listen, [&heard = *arrivals](const Member& one) { heard.OnArrival(one); }},
                        *options.session.mesh);
  if (!server.ok() && !asked) {
    spdlog::warn("no node can join: {}", server.error().message);
    return none;
  }
  if (server.ok() && (options.pair || (watched && roster.members.empty()))) {
    RETURN_IF_ERROR(ShowPairingCode(*options.session.mesh, (*server)->address()));
  }
  return server;
}

// Lets members find this coordinator on the local network when its address is not the one they
// know.
std::unique_ptr<DiscoveryResponder> AnswerSeekers(const ServeOptions& options,
                                                  const MeshServer* server) {
  if (server == nullptr || server->address().is_local()) return nullptr;
  Result<std::unique_ptr<DiscoveryResponder>> responder = DiscoveryResponder::Start(
      options.session.mesh->credentials()->self().mesh, server->address().port);
  if (responder.ok()) return std::move(*responder);
  spdlog::warn("nodes find this coordinator only at the addresses they know: {}",
               responder.error().message);
  return nullptr;
}

Status ServeClients(ServeOptions& options, CLI::App& command) {
  BlockTerminationSignals();
  RETURN_IF_ERROR(InitLogging("shoal", options.session.log_level));
  RETURN_IF_ERROR(Recall(options.session, command));
  options.session.remembered = OptionsToRemember(command);
  ASSIGN_OR_RETURN(const HttpServerOptions server_options, ServerOptions(options));
  ProgressLine progress;
  std::unique_ptr<NewNodes> arrivals;
  std::unique_ptr<MeshServer> mesh_server;
  std::unique_ptr<DiscoveryResponder> responder;
  std::unique_ptr<ModelSession> session;
  std::unique_ptr<TextModel> text;
  std::unique_ptr<HttpServer> server;
  {
    const SignalListener interrupted([](int number) { std::_Exit(128 + number); });
    ASSIGN_OR_RETURN(mesh_server, StartMeshServer(options, arrivals));
    responder = AnswerSeekers(options, mesh_server.get());
    options.session.all_nodes = options.session.patient = options.session.mesh != nullptr;
    ASSIGN_OR_RETURN(session, ModelSession::Open(options.session));
    ASSIGN_OR_RETURN(text, TextModel::Load(session->file()));
    ASSIGN_OR_RETURN(server, HttpServer::Start(server_options, session->engine(), *text));
    RETURN_IF_ERROR(session->Start([&](const std::string& line) { progress.Show(line); }));
    progress.Clear();
    fmt::print(stderr, "{}", session->DescribeStages());
    if (server_options.tls) SayCertificate(*server_options.tls);
    const Address address = {"", server_options.host, server->port()};
    fmt::print("serving {} on {}://{}/v1\n", server_options.model_id,
               server_options.tls ? "https" : "http", address.ToString());
    std::fflush(stdout);
  }
  if (arrivals != nullptr) arrivals->SetSession(session.get());
  WaitForTermination(-1);
  const SignalListener impatient([](int number) { std::_Exit(128 + number); });
  if (arrivals != nullptr) arrivals->SetSession(nullptr);
  server.reset();
  return OkStatus();
}

}  // namespace

void AddServeCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ServeOptions>();
  options->session.sessions = kDefaultSessions;
  options->session.queue_timeout_s = kDefaultQueueTimeoutS;
  options->session.log_level = "info";
  CLI::App* command = app.add_subcommand("serve", "Serve the OpenAI API over HTTP");
  AddSessionOptions(*command, options->session);
  command->get_option("MODEL")->required(false)->description(
      "GGUF file (any part of several), or the name of a pulled model; without it, what was last "
      "served over nodes, as it was");
  AddThreadsOption(*command, options->session.threads);
  command
      ->add_option("--queue-timeout", options->session.queue_timeout_s,
                   "Seconds that a request may wait for memory; then 503 with Retry-After")
      ->capture_default_str()
      ->check(CLI::Range(1, 86'400));
  command
      ->add_option("--spares", options->session.spares,
                   "Losses to prepare for: nodes hold the stages that they would take over, where "
                   "their memory allows, so that nothing is loaded then")
      ->capture_default_str()
      ->check(CLI::Range(0, 2));
  command->add_option("--listen", options->listen, "HOST:PORT (port 0: any)")
      ->capture_default_str();
  command->add_option("--mesh-listen", options->mesh_listen,
                      fmt::format("HOST:PORT that nodes find this coordinator at (default: {})",
                                  kDefaultMeshListen));
  command->add_flag("--pair", options->pair, "Show a pairing code, which lets one device join");
  command->add_option("--model-id", options->model_id, "Name in /v1/models (default: the file's)");
  command
      ->add_option("--sessions", options->session.sessions,
                   "Full contexts that fit in KV memory at once; more requests wait")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  CLI::Option* const tls =
      command
          ->add_option("--tls", options->https.tls,
                       "'self': serve HTTPS with a certificate of its own making")
          ->check(CLI::IsMember({"self"}));
  command
      ->add_option("--tls-cert", options->https.certificate, "Serve HTTPS: certificate chain, PEM")
      ->excludes(tls);
  command->add_option("--tls-key", options->https.key, "And its private key, PEM")->excludes(tls);
  command->callback([options, command, &exit_code] {
    const Status served = ServeClients(*options, *command);
    if (!served.ok()) exit_code = Fail("serve", served.error());
  });
}

}  // namespace shoal
