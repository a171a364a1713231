#include "tools/model_library.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "tools/cache_folder.h"
#include "tools/toml_table.h"

namespace shoal {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".gguf";
constexpr size_t kMaxNameBytes = 200;
constexpr NumberRange kModelBytes{1, 1e13};

Result<CatalogueModel> ReadEntry(const std::string& name, const TomlTable& table) {
  RETURN_IF_ERROR(table.CheckKeys({"file", "bytes", "sha256", "url", "python_package", "member"}));
  CatalogueModel model;
  model.name = name;
  std::string sha256;
  RETURN_IF_ERROR(table.Read("file", model.file));
  RETURN_IF_ERROR(table.Read("bytes", kModelBytes, model.bytes));
  RETURN_IF_ERROR(table.Read("sha256", sha256));
  RETURN_IF_ERROR(table.Read("url", model.url));
  RETURN_IF_ERROR(table.Read("python_package", model.python_package));
  RETURN_IF_ERROR(table.Read("member", model.member));
  const std::optional<Sha256Digest> digest = Sha256FromHex(sha256);
  if (!digest) return table.ErrorAt("sha256", "expected 64 lower-case hexadecimal digits");
  model.sha256 = *digest;
  if (model.bytes == 0) return table.ErrorAt("bytes", "missing");
  if (model.url.empty() == model.python_package.empty() ||
      model.python_package.empty() != model.member.empty()) {
    return table.ErrorAt("", "expected a url, or a python_package and its member");
  }
  return model;
}

}  // namespace

Result<std::vector<CatalogueModel>> ReadCatalogue(std::string_view toml) {
  constexpr const char* kName = "models.toml";
  ASSIGN_OR_RETURN(const toml::table parsed, ParseToml(toml, kName));
  const TomlTable root(parsed, kName, "");
  std::vector<CatalogueModel> models;
  for (const std::string& name : root.Keys()) {
    ASSIGN_OR_RETURN(const auto table, root.Table(name));
    if (!table) return root.ErrorAt(name, "expected a table");
    ASSIGN_OR_RETURN(CatalogueModel model, ReadEntry(name, *table));
    models.push_back(std::move(model));
  }
  return models;
}

Result<ModelLibrary> ModelLibrary::Open() {
  const std::string cache = CacheFolder();
  if (cache.empty()) {
    return FailedPrecondition("no folder for models: set XDG_CACHE_HOME or HOME");
  }
  ASSIGN_OR_RETURN(std::vector<CatalogueModel> catalogue, ReadCatalogue(kModelCatalogueToml));
  return ModelLibrary(cache + "/models", std::move(catalogue));
}

const CatalogueModel* ModelLibrary::Known(std::string_view name) const {
  const auto found = std::find_if(catalogue_.begin(), catalogue_.end(),
                                  [&](const CatalogueModel& model) { return model.name == name; });
  return found == catalogue_.end() ? nullptr : &*found;
}

std::vector<LibraryModel> ModelLibrary::List() const {
  std::vector<LibraryModel> models;
  for (const CatalogueModel& known : catalogue_) {
    models.push_back({known.name, folder_ + "/" + known.file, known.bytes, false});
  }
  std::error_code failed;
  fs::directory_iterator files(folder_, failed);
  for (; !failed && files != fs::directory_iterator(); files.increment(failed)) {
    std::error_code gone;
    const auto bytes = static_cast<int64_t>(files->file_size(gone));
    const fs::path& path = files->path();
    if (gone || !files->is_regular_file(gone) || path.extension() != kEnding) continue;
    const auto known = std::find_if(models.begin(), models.end(), [&](const LibraryModel& model) {
      return model.path == path.string();
    });
    if (known != models.end()) {
      known->bytes = bytes;
      known->here = true;
    } else {
      models.push_back({path.stem().string(), path.string(), bytes, true});
    }
  }
  std::sort(models.begin(), models.end(),
            [](const LibraryModel& a, const LibraryModel& b) { return a.name < b.name; });
  return models;
}

Result<LibraryModel> ModelLibrary::Find(const std::string& name) const {
  for (const LibraryModel& model : List()) {
    const std::string file = fs::path(model.path).filename().string();
    if (name != model.name && name != file && name + std::string(kEnding) != file) continue;
    if (model.here) return model;
    return NotFound(
        fmt::format("{} is not on this machine yet: get it with 'shoal pull {}'", name, name));
  }
  return NotFound(fmt::format("there is no model {} in {}", name, folder_));
}

Result<std::string> ModelLibrary::PathOf(const std::string& file) const {
  const bool plain = file.find('/') == std::string::npos && file[0] != '.' &&
                     file.size() <= kMaxNameBytes &&
                     std::all_of(file.begin(), file.end(), [](char c) { return c > ' '; });
  if (!plain || !file.ends_with(kEnding)) {
    return InvalidArgument(
        fmt::format("'{}' is no name for a model's file: expected NAME{} of at most {} printable "
                    "ASCII characters without '/'",
                    file, kEnding, kMaxNameBytes));
  }
  return folder_ + "/" + file;
}

CLI::Option* AddModelOption(CLI::App& command, const std::string& option, std::string& model,
                            const std::string& description) {
  const auto resolve = [](std::string text) {
    std::error_code failed;
    if (text.find('/') != std::string::npos || fs::exists(text, failed)) return text;
    const Result<ModelLibrary> library = ModelLibrary::Open();
    if (!library.ok()) return text;
    const Result<LibraryModel> found = library->Find(text);
    if (found.ok()) return found->path;
    if (library->Known(text) != nullptr) throw CLI::ValidationError(found.error().message);
    return text;
  };
  return command.add_option(option, model, description + ", or the name of a pulled model")
      ->transform(resolve, "", "");
}

}  // namespace shoal
