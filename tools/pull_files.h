// What lies beside a model's file while it is pulled, and stays there when that breaks off.
#pragma once

#include <string>

namespace shoal {

struct PullFiles {
  // `path` is where the model's file will be.
  explicit PullFiles(const std::string& path) : part(path + ".part"), tag(part + ".etag") {}

  std::string part;  // what has come of the file
  std::string tag;   // the server's name for the version that `part` is of
};

}  // namespace shoal
