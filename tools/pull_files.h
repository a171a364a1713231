// What lies beside a model's file while it is pulled, and stays there when that breaks off.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace shoal {

constexpr std::string_view kPartEnding = ".part";
constexpr std::string_view kPackageEnding = ".work";

struct PullFiles {
  // `path` is where the model's file will be.
  explicit PullFiles(const std::string& path)
      : part(path + std::string(kPartEnding)),
        tag(part + ".etag"),
        package(path + std::string(kPackageEnding)) {}

  std::string part;     // what has come of the file
  std::string tag;      // the server's name for the version that `part` is of
  std::string package;  // a folder: a Python package that has the file in it
};

// Of all of them together; 0 if there are none.
int64_t BytesOf(const PullFiles& files);

// The size of each file in a folder and in the folders in it; none if there is no such folder.
std::vector<int64_t> FileSizesIn(const std::string& folder);

}  // namespace shoal
