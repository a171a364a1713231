#include "tests/support/temp_dir.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <system_error>

#include "base/check.h"

namespace shoal {

TempDir::TempDir()
    : path_((std::filesystem::temp_directory_path() / "shoal-test-XXXXXX").string()) {
  CHECK(::mkdtemp(path_.data()) != nullptr, "cannot make a temporary folder");
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::Write(const std::string& name, std::string_view contents) const {
  const std::string path = path_ + "/" + name;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream file(path, std::ios::binary);
  file.write(contents.data(), static_cast<std::streamsize>(contents.size()));
  file.close();
  CHECK(file.good(), "cannot write " + path);
  return path;
}

}  // namespace shoal
