// `shoal models`: the models in the cache folder and those that can be pulled.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "tools/commands.h"
#include "tools/model_library.h"
#include "tools/terminal.h"
#include "tools/units.h"

namespace shoal {

namespace {

struct ModelsOptions {
  bool json = false;
  std::string name;
};

// Where it is, or how to get it.
std::string Place(const LibraryModel& model, const ModelLibrary& library) {
  if (model.here) return model.path;
  const std::string came = model.unfinished_bytes > 0 ? fmt::format(" ({:.1f} MiB of it have come)",
                                                                    MiB(model.unfinished_bytes))
                                                      : "";
  if (library.Known(model.name) != nullptr) {
    return fmt::format("get it: shoal pull {}{}", model.name, came);
  }
  return fmt::format("unfinished{}: pull it again, or shoal models remove {}", came, model.name);
}

Status ListModels(const ModelsOptions& options) {
  ASSIGN_OR_RETURN(const ModelLibrary library, ModelLibrary::Open());
  nlohmann::json rows = nlohmann::json::array();
  for (const LibraryModel& model : library.List()) {
    if (options.json) {
      rows.push_back({{"name", model.name},
                      {"path", model.path},
                      {"bytes", model.bytes},
                      {"here", model.here},
                      {"unfinished_bytes", model.unfinished_bytes}});
    } else {
      fmt::print("{:<40} {:>8.1f} MiB  {}\n", model.name, MiB(model.bytes), Place(model, library));
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
  RETURN_IF_ERROR(library.Remove(model));
  fmt::print("removed {}\n", model.path);
  return OkStatus();
}

}  // namespace

void AddModelsCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ModelsOptions>();
  CLI::App* command = app.add_subcommand("models", "List or remove models that were pulled");
  command->require_subcommand(0, 1);
  const auto run = [&exit_code](const Status& status) {
    if (!status.ok()) exit_code = Fail("models", status.error());
  };
  command->callback([command, options, run] {
    if (command->get_subcommands().empty()) run(ListModels(*options));
  });
  CLI::App* list = command->add_subcommand("list", "Models here, and those that can be pulled");
  list->add_flag("--json", options->json, "As JSON");
  list->callback([options, run] { run(ListModels(*options)); });
  CLI::App* remove = command->add_subcommand("remove", "Delete a model's file");
  remove->add_option("NAME", options->name, "As 'shoal models list' shows it")->required();
  remove->callback([options, run] { run(Remove(*options)); });
}

}  // namespace shoal
