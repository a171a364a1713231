// Models by name: those that `shoal pull` put into the cache folder, and those that it knows where
// to get (deploy/models.toml).
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_lock.h"
#include "base/result.h"
#include "base/sha256.h"

namespace shoal {

constexpr std::string_view kModelEnding = ".gguf";

extern const std::string_view kModelCatalogueToml;  // deploy/models.toml

struct CatalogueModel {
  std::string name;
  std::string file;  // in the folder of models
  int64_t bytes = 0;
  Sha256Digest sha256{};
  std::string url;             // https; or
  std::string python_package;  // as pip takes it, and
  std::string member;          // the file's path in it
};

// Errors name file, line and key.
Result<std::vector<CatalogueModel>> ReadCatalogue(std::string_view toml);

struct LibraryModel {
  std::string name;  // of the catalogue, else the file's without .gguf (with, if that is one of the
                     // catalogue's)
  std::string path;
  int64_t bytes = 0;             // 0 if it is neither here nor known
  bool here = false;             // else it is known, or a part of it came
  int64_t unfinished_bytes = 0;  // what a pull that is under way or broke off left beside it
};

// The models in one folder. Nothing in it is opened.
class ModelLibrary {
 public:
  // `folder` need not exist.
  ModelLibrary(std::string folder, std::vector<CatalogueModel> catalogue)
      : folder_(std::move(folder)), catalogue_(std::move(catalogue)) {}
  // The one in the cache folder. Errors: there is no cache folder.
  static Result<ModelLibrary> Open();

  const std::string& folder() const { return folder_; }
  // Null if there is none of that name.
  const CatalogueModel* Known(std::string_view name) const;
  // The one that a file of this name is taken for. Null if there is none.
  const CatalogueModel* KnownByFile(std::string_view file) const;
  // Sorted by name.
  std::vector<LibraryModel> List() const;
  // What NAME means, here or not: a model's name, else its file's with or without .gguf. Error:
  // kNotFound.
  Result<LibraryModel> Find(const std::string& name) const;
  // Where that model's file is. Errors: kNotFound if there is no such model, kFailedPrecondition if
  // it is not here, or not all of it; the message says how to get it.
  Result<std::string> PathTo(const std::string& name) const;
  // Deletes the model's file and what a pull left beside it. Errors: nothing of it is here, or it
  // is being pulled.
  Status Remove(const LibraryModel& model) const;
  // Held by whoever changes the model's file or what lies beside it; makes the folder. Error: held
  // by another process (kUnavailable).
  Result<FileLock> Lock(const std::string& path) const;
  // Where a model of that file name is kept. Errors: as CheckFileName.
  Result<std::string> PathFor(const std::string& file) const;
  // Errors: a name that could lead elsewhere, or does not end with .gguf.
  static Status CheckFileName(const std::string& file);

 private:
  void AddFile(const std::string& path, std::vector<LibraryModel>& models) const;

  std::string folder_;
  std::vector<CatalogueModel> catalogue_;
};

// An option for a model: a GGUF file's path, or the name of one in the library, which is replaced
// by its path.
CLI::Option* AddModelOption(CLI::App& command, const std::string& option, std::string& model,
                            const std::string& description);

}  // namespace shoal
