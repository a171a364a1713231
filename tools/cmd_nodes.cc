// `shoal nodes`: the nodes of the mesh that this user coordinates. Works on the state folder,
// beside a server that runs or without one.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <future>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "base/log.h"
#include "coordinator/service/mesh_server.h"
#include "tools/commands.h"
#include "tools/mesh_nodes.h"
#include "tools/signals.h"
#include "tools/state_folder.h"
#include "tools/terminal.h"

namespace shoal {

namespace {

using Json = nlohmann::json;

struct NodesOptions {
  std::string state;
  std::string listen = kDefaultMeshListen;
  std::string node;
  std::string name;
  bool json = false;
};

Json ToJson(const Member& member) {
  return {{"id", member.id},
          {"name", member.name},
          {"address", member.address},
          {"joined_unix_s", member.joined_unix_s},
          {"revoked", member.revoked}};
}

void PrintLine(const std::string& line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

// A device that only joined a mesh coordinates none.
Result<std::unique_ptr<MeshAuthority>> OwnMesh(const std::string& state) {
  ASSIGN_OR_RETURN(std::unique_ptr<MeshAuthority> mesh, FindMesh(state));
  if (mesh != nullptr) return mesh;
  ASSIGN_OR_RETURN(const std::string folder, StateFolder(state));
  return FailedPrecondition(fmt::format(
      "{}: no mesh is coordinated from here; this works where 'shoal serve' runs, or after 'shoal "
      "nodes invite'",
      folder));
}

Status ListNodes(const NodesOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<MeshAuthority> mesh, OwnMesh(options.state));
  ASSIGN_OR_RETURN(const Roster roster, mesh->roster().Read());
  if (options.json) {
    Json nodes = Json::array();
    for (const Member& member : roster.members) nodes.push_back(ToJson(member));
    const Json all = {{"mesh", mesh->credentials()->self().mesh}, {"nodes", nodes}};
    PrintLine(all.dump(2));
    return OkStatus();
  }
  fmt::print("mesh {}\n", mesh->credentials()->self().mesh);
  for (const Member& member : roster.members) {
    fmt::print("{:24} {:24} joined {:%Y-%m-%d}{}\n", member.name,
               member.address.empty() ? "-" : member.address,
               fmt::gmtime(static_cast<std::time_t>(member.joined_unix_s)),
               member.revoked ? ", revoked" : "");
  }
  return OkStatus();
}

Status Revoke(const NodesOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<MeshAuthority> mesh, OwnMesh(options.state));
  RETURN_IF_ERROR(mesh->roster().Change([&](Roster& roster) -> Status {
    const Result<Member> revoked = roster.Revoke(options.node);
    return revoked.ok() ? OkStatus() : Status(revoked.error());
  }));
  PrintLine(fmt::format("revoked {}", options.node));
  return OkStatus();
}

Status Rename(const NodesOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<MeshAuthority> mesh, OwnMesh(options.state));
  RETURN_IF_ERROR(mesh->roster().Change(
      [&](Roster& roster) { return roster.Rename(options.node, options.name); }));
  PrintLine(fmt::format("{} is called {} now", options.node, options.name));
  return OkStatus();
}

Status PrintCode(const NodesOptions& options, const MeshAuthority& mesh, const Address& listen) {
  ASSIGN_OR_RETURN(const std::string code, IssuePairingCode(mesh, ReachableAddresses(listen)));
  PrintLine(options.json
                ? Json{{"code", code}}.dump()
                : fmt::format("on the new device, within {} minutes:\n  shoal node --join {}",
                              kCodeLifeS / 60, code));
  return OkStatus();
}

// Where a server runs, the code is all it takes. Else this process waits for the node itself.
Status Invite(const NodesOptions& options) {
  BlockTerminationSignals();
  RETURN_IF_ERROR(InitLogging("shoal", "warn"));
  ASSIGN_OR_RETURN(const Address listen, ParseAddress(options.listen));
  if (listen.is_unix()) return InvalidArgument("--mesh-listen takes HOST:PORT");
  ASSIGN_OR_RETURN(const std::unique_ptr<MeshAuthority> mesh, OpenMesh(options.state));
  if (const Result<Address> running = RunningMeshServer(*mesh); running.ok()) {
    return PrintCode(options, *mesh, *running);
  }
  const SignalListener interrupted([](int number) { std::_Exit(128 + number); });
  ASSIGN_OR_RETURN(const Roster before, mesh->roster().Read());
  std::promise<Member> arrived;
  std::once_flag once;
  const auto on_arrival = [&](const Member& member) {
    if (before.Find(member.id) != nullptr) return;
    std::call_once(once, [&] { arrived.set_value(member); });
  };
  ASSIGN_OR_RETURN(const std::unique_ptr<MeshServer> server,
                   MeshServer::Start({listen, on_arrival}, *mesh));
  RETURN_IF_ERROR(PrintCode(options, *mesh, server->address()));
  std::future<Member> node = arrived.get_future();
  if (node.wait_for(std::chrono::seconds(kCodeLifeS)) != std::future_status::ready) {
    return DeadlineExceeded(fmt::format("no node joined within {} s", kCodeLifeS));
  }
  const Member member = node.get();
  PrintLine(options.json ? Json{{"node", ToJson(member)}}.dump()
                         : fmt::format("{} joined, at {}", member.name, member.address));
  return OkStatus();
}

CLI::App* AddAction(CLI::App& nodes, const std::shared_ptr<NodesOptions>& options, int& exit_code,
                    const std::string& name, const std::string& help,
                    Status (*action)(const NodesOptions&)) {
  CLI::App* command = nodes.add_subcommand(name, help);
  command->add_option("--state", options->state, kStateHelp);
  command->callback([options, &exit_code, name, action] {
    const Status done = action(*options);
    if (!done.ok()) exit_code = Fail("nodes " + name, done.error());
  });
  return command;
}

}  // namespace

void AddNodesCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<NodesOptions>();
  CLI::App* nodes =
      app.add_subcommand("nodes", "Let nodes join the mesh, list, rename, revoke them");
  nodes->require_subcommand(1);
  CLI::App* list = AddAction(*nodes, options, exit_code, "list", "Show the nodes", ListNodes);
  list->add_flag("--json", options->json, "As JSON");
  CLI::App* invite = AddAction(*nodes, options, exit_code, "invite",
                               "Print a pairing code, which lets one device join", Invite);
  invite->add_flag("--json", options->json, "As JSON, a line each for the code and the node");
  invite
      ->add_option("--mesh-listen", options->listen,
                   "HOST:PORT to wait for the node at, where no server runs")
      ->capture_default_str();
  CLI::App* revoke = AddAction(*nodes, options, exit_code, "revoke",
                               "Exclude a node from the mesh, at once and for good", Revoke);
  revoke->add_option("NODE", options->node, "Name, id or address")->required();
  CLI::App* rename =
      AddAction(*nodes, options, exit_code, "rename", "Give a node another name", Rename);
  rename->add_option("NODE", options->node, "Name, id or address")->required();
  rename->add_option("NAME", options->name, "Its new name")->required();
}

}  // namespace shoal
