#include "coordinator/text_stream.h"

#include <algorithm>
#include <utility>

namespace shoal {

namespace {

// The length of the longest end of `text` that a stop string could begin with.
size_t HeldBytes(std::string_view text, const std::vector<std::string>& stop_strings) {
  size_t longest = 0;
  for (const std::string& stop : stop_strings) {
    size_t length = std::min(text.size(), stop.size() - 1);
    while (length > longest && !text.ends_with(std::string_view(stop).substr(0, length))) --length;
    longest = std::max(longest, length);
  }
  return longest;
}

}  // namespace

TextStream::TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop_strings,
                       std::unique_ptr<TextSink> sink)
    : detokenizer_(tokenizer), stop_strings_(std::move(stop_strings)), sink_(std::move(sink)) {
  for (const std::string& stop : stop_strings_) CHECK(!stop.empty(), "an empty stop string");
}

bool TextStream::OnToken(const SampledToken& token) {
  held_ += detokenizer_.Push(token.token);
  const std::string text = Release(false);
  sink_->OnText(text, token);
  return !stopped_;
}

void TextStream::OnFinish(FinishReason reason, const std::optional<Error>& error,
                          const GenerationStats& stats) {
  std::string tail;
  if (!stopped_) {
    held_ += detokenizer_.Finish();
    tail = Release(true);
    if (stopped_ && reason == FinishReason::kLength) reason = FinishReason::kStopped;
  }
  sink_->OnFinish(tail, reason, error, stats);
}

std::string TextStream::Release(bool final) {
  // What is complete first counts, and of those the one that begins first: so the answer does not
  // depend on how tokens cut the text.
  size_t end = std::string::npos;
  size_t shown = held_.size();
  for (const std::string& stop : stop_strings_) {
    const size_t begin = held_.find(stop);
    if (begin == std::string::npos) continue;
    const size_t stop_end = begin + stop.size();
    if (stop_end > end || (stop_end == end && begin >= shown)) continue;
    end = stop_end;
    shown = begin;
    stopped_ = true;
  }
  if (!stopped_ && !final) shown -= HeldBytes(held_, stop_strings_);
  std::string text = held_.substr(0, shown);
  held_ = stopped_ ? std::string() : held_.substr(shown);
  return text;
}

}  // namespace shoal
