// Byte-level BPE tokenizer ("gpt2" in metadata): the bytes of each word are merged by a ranked list
// of pairs, lowest rank first. Tokens are written with one printable character for each byte.
// Source: Radford et al. 2019 (GPT-2); Sennrich et al. 2016.
#pragma once

#include <memory>

#include "base/result.h"
#include "model/gguf/gguf_file.h"
#include "model/text/tokenizer.h"

namespace shoal {

// Errors as Tokenizer::Load.
Result<std::unique_ptr<Tokenizer>> LoadBpeTokenizer(const GgufFile& file);

}  // namespace shoal
