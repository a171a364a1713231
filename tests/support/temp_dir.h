// A fresh folder for one test, removed with all that is in it at the end.
#pragma once

#include <string>
#include <string_view>

namespace shoal {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }

  // Writes a file of that name, with the folders in it, and returns its path.
  std::string Write(const std::string& name, std::string_view contents) const;

 private:
  std::string path_;
};

}  // namespace shoal
