#include "tools/model_library.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "tools/cache_folder.h"
#include "tools/pull_files.h"
#include "tools/toml_table.h"

namespace shoal {

namespace {

namespace fs = std::filesystem;

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
  if (!digest) return table.ErrorAt("sha256", "expected 64 hexadecimal digits");
  model.sha256 = *digest;
  if (model.bytes == 0) return table.ErrorAt("bytes", "missing");
  if (model.url.empty() == model.python_package.empty() ||
      model.python_package.empty() != model.member.empty()) {
    return table.ErrorAt("", "expected a url, or a python_package and its member");
  }
  return model;
}

std::string FileOf(const std::string& path) { return fs::path(path).filename(); }

// The model's file that an entry of the folder is, or belongs to; empty if it is none.
std::string ModelPathOf(const fs::directory_entry& entry) {
  std::error_code failed;
  std::string path = entry.path();
  const std::string_view ending = entry.is_directory(failed) ? kPackageEnding : kPartEnding;
  if (path.ends_with(ending)) {
    path.resize(path.size() - ending.size());
  } else if (!entry.is_regular_file(failed)) {
    return "";
  }
  return path.ends_with(kModelEnding) ? path : "";
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

const CatalogueModel* ModelLibrary::KnownByFile(std::string_view file) const {
  const auto found =
      std::find_if(catalogue_.begin(), catalogue_.end(), [&](const CatalogueModel& model) {
        return model.file == file || model.name + std::string(kModelEnding) == file;
      });
  return found == catalogue_.end() ? nullptr : &*found;
}

std::vector<LibraryModel> ModelLibrary::List() const {
  std::vector<LibraryModel> models;
  for (const CatalogueModel& known : catalogue_) {
    models.push_back({known.name, folder_ + "/" + known.file, known.bytes});
  }
  std::error_code failed;
  fs::directory_iterator entries(folder_, failed);
  for (; !failed && entries != fs::directory_iterator(); entries.increment(failed)) {
    const std::string path = ModelPathOf(*entries);
    if (!path.empty()) AddFile(path, models);
  }
  for (LibraryModel& model : models) {
    std::error_code missing;
    const auto bytes = static_cast<int64_t>(fs::file_size(model.path, missing));
    model.here = !missing;
    if (model.here) model.bytes = bytes;
    model.unfinished_bytes = BytesOf(PullFiles(model.path));
  }
  std::sort(models.begin(), models.end(),
            [](const LibraryModel& a, const LibraryModel& b) { return a.name < b.name; });
  return models;
}

void ModelLibrary::AddFile(const std::string& path, std::vector<LibraryModel>& models) const {
  const bool listed = std::any_of(models.begin(), models.end(),
                                  [&](const LibraryModel& model) { return model.path == path; });
  if (listed) return;
  std::string name = fs::path(path).stem();
  if (Known(name) != nullptr) name += kModelEnding;
  models.push_back({std::move(name), path});
}

Result<LibraryModel> ModelLibrary::Find(const std::string& name) const {
  const std::vector<LibraryModel> models = List();
  auto found = std::find_if(models.begin(), models.end(),
                            [&](const LibraryModel& model) { return model.name == name; });
  if (found == models.end()) {
    found = std::find_if(models.begin(), models.end(), [&](const LibraryModel& model) {
      const std::string file = FileOf(model.path);
      return name == file || name + std::string(kModelEnding) == file;
    });
  }
  if (found == models.end()) {
    return NotFound(fmt::format("there is no model {} in {}", name, folder_));
  }
  return *found;
}

Result<std::string> ModelLibrary::PathTo(const std::string& name) const {
  ASSIGN_OR_RETURN(const LibraryModel model, Find(name));
  if (model.here) return model.path;
  if (Known(model.name) != nullptr) {
    return FailedPrecondition(fmt::format(
        "{} is not on this machine yet: get it with 'shoal pull {}'", name, model.name));
  }
  return FailedPrecondition(
      fmt::format("only a part of {} is on this machine: get the rest with 'shoal pull' from where "
                  "it was pulled",
                  name));
}

Status ModelLibrary::Remove(const LibraryModel& model) const {
  const PullFiles files(model.path);
  ASSIGN_OR_RETURN(const FileLock alone, Lock(model.path));
  std::error_code failed;
  bool removed = fs::remove_all(files.package, failed) > 0;
  for (const std::string& path : {model.path, files.part, files.tag}) {
    removed = fs::remove(path, failed) || removed;
    if (failed) return FailedPrecondition(fmt::format("{}: {}", path, failed.message()));
  }
  if (removed) return OkStatus();
  return NotFound(fmt::format("{} is not on this machine", model.name));
}

Result<FileLock> ModelLibrary::Lock(const std::string& path) const {
  const std::string locks = folder_ + "/.locks";
  std::error_code failed;
  fs::create_directories(locks, failed);
  if (failed) return FailedPrecondition(fmt::format("{}: {}", locks, failed.message()));
  Result<FileLock> lock = FileLock::Try(locks + "/" + FileOf(path));
  if (lock.ok() || lock.error().code != ErrorCode::kUnavailable) return lock;
  return Unavailable(fmt::format("{} is being pulled by another process", path));
}

Result<std::string> ModelLibrary::PathFor(const std::string& file) const {
  RETURN_IF_ERROR(CheckFileName(file));
  return folder_ + "/" + file;
}

Status ModelLibrary::CheckFileName(const std::string& file) {
  const bool plain = file.find('/') == std::string::npos && file[0] != '.' &&
                     file.size() <= kMaxNameBytes &&
                     std::all_of(file.begin(), file.end(), [](char c) { return c > ' '; });
  if (plain && file.ends_with(kModelEnding)) return OkStatus();
  return InvalidArgument(
      fmt::format("'{}' is no name for a model's file: expected NAME{} of at most {} printable "
                  "ASCII characters without '/'",
                  file, kModelEnding, kMaxNameBytes));
}

CLI::Option* AddModelOption(CLI::App& command, const std::string& option, std::string& model,
                            const std::string& description) {
  const auto resolve = [](std::string text) {
    std::error_code failed;
    if (text.find('/') != std::string::npos || fs::exists(text, failed)) return text;
    const Result<ModelLibrary> library = ModelLibrary::Open();
    if (!library.ok()) return text;
    const Result<std::string> path = library->PathTo(text);
    if (path.ok()) return *path;
    if (path.error().code != ErrorCode::kNotFound) throw CLI::ValidationError(path.error().message);
    return text;
  };
  return command.add_option(option, model, description + ", or the name of a pulled model")
      ->transform(resolve, "", "");
}

}  // namespace shoal
