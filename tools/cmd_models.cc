// `shoal models`: the models in the cache folder and those that can be pulled.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

#include "tools/commands.h"
#include "tools/model_library.h"
#include "tools/terminal.h"

namespace shoal {

namespace {

struct ModelsOptions {
  bool json = false;
  std::string name;
};

Status ListModels(const ModelsOptions& options) {
  ASSIGN_OR_RETURN(const ModelLibrary library, ModelLibrary::Open());
  nlohmann::json rows = nlohmann::json::array();
  for (const LibraryModel& model : library.List()) {
    if (options.json) {
      rows.push_back({{"name", model.name},
                      {"path", model.path},
                      {"bytes", model.bytes},
                      {"here", model.here}});
    } else {
      fmt::print("{:<40} {:>8.1f} MiB  {}\n", model.name,
                 static_cast<double>(model.bytes) / (1 << 20),
                 model.here ? model.path : fmt::format("get it: shoal pull {}", model.name));
    }
  }
  if (options.json) {
    fmt::print("{}\n", rows.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  return OkStatus();
}

Status Remove(const ModelsOptions& options) {
  ASSIGN_OR_RETURN(const ModelLibrary library, ModelLibrary::Open());
  ASSIGN_OR_RETURN(const LibraryModel model, library.Find(options.name));
  std::error_code failed;
  if (!std::filesystem::remove(model.path, failed)) {
    return FailedPrecondition(fmt::format("{}: {}", model.path, failed.message()));
  }
  fmt::print("removed {}\n", model.path);
  return OkStatus();
}

}  // namespace

void AddModelsCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ModelsOptions>();
  CLI::App* command = app.add_subcommand("models", "List or remove models that were pulled");
  command->require_subcommand(1);
  const auto run = [&exit_code](const Status& status) {
    if (!status.ok()) exit_code = Fail("models", status.error());
  };
  CLI::App* list = command->add_subcommand("list", "Models here, and those that can be pulled");
  list->add_flag("--json", options->json, "As JSON");
  list->callback([options, run] { run(ListModels(*options)); });
  CLI::App* remove = command->add_subcommand("remove", "Delete a model's file");
  remove->add_option("NAME", options->name, "As 'shoal models list' shows it")->required();
  remove->callback([options, run] { run(Remove(*options)); });
}

}  // namespace shoal
