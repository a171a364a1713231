#include "model/text/tokenizer.h"
#include "model/text/utf8.h"

namespace shoal {

std::string Detokenizer::Push(int32_t id) {
  const std::string token_bytes = tokenizer_.TokenBytes(id);
  std::string_view bytes = token_bytes;
  if (at_start_ && !bytes.empty()) {
    if (tokenizer_.adds_space_prefix() && bytes.front() == ' ') bytes.remove_prefix(1);
    at_start_ = false;
  }
  pending_ += bytes;
  const size_t unfinished = UnfinishedUtf8Bytes(pending_);
  std::string text =
      ReplaceInvalidUtf8(std::string_view(pending_).substr(0, pending_.size() - unfinished));
  pending_.erase(0, pending_.size() - unfinished);
  return text;
}

std::string Detokenizer::Finish() {
  std::string text = ReplaceInvalidUtf8(pending_);
  pending_.clear();
  at_start_ = true;
  return text;
}

}  // namespace shoal
