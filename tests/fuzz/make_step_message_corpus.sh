#!/usr/bin/env bash
# Writes the corpus of step_message_fuzz: a width of activations in one byte, then a message. And that
# of local_lane_fuzz: messages after their lengths.
set -euo pipefail
cd "$(dirname "$0")/../.."
corpus=tests/fuzz/corpus/step_message
mkdir -p "$corpus"

# NAME WIDTH MESSAGE: reads the message as text.
encode() {
  { printf "\\x$2"; protoc --encode="shoal.v1.$3" proto/pipeline.proto; } > "$corpus/$1"
}

encode first_stage 00 StepMessage <<'TEXT'
epoch: 3 step: 9 closes: [4, 5]
opens { session: 7 context_tokens: 96 prompt_tokens: 5
  sampling { temperature: 0.7 top_k: 40 top_p: 0.9 min_p: 0.05 repetition_penalty: 1.1
    presence_penalty: -0.5 frequency_penalty: 0.5 seed: 18446744073709551615 logprobs: 5
    bias_tokens: [1, 400] bias_values: [-100, 2.5] } }
slices { session: 7 token_count: 5 output: OUTPUT_SAMPLE tokens: [1, 2, 3, 4, 5] }
slices { session: 6 position: 31 token_count: 1 output: OUTPUT_SAMPLE tokens: 9 }
TEXT
encode later_stage 02 StepMessage <<'TEXT'
epoch: 3 step: 9
slices { session: 7 token_count: 2 output: OUTPUT_LOGITS }
slices { session: 6 position: 31 token_count: 1 }
activations: "\000\000\200?\000\000\000@\000\000\200\177\000\000\300\177\001\000\000\000\000\000\000\200"
timings { compute_ns: 1234567 } timings { stage: 1 compute_ns: 7654321 }
TEXT
encode closes_only 00 StepMessage <<'TEXT'
epoch: 1 step: 2 closes: [1, 2, 3]
TEXT
encode tokens 00 StepResultMessage <<'TEXT'
epoch: 3 step: 9 last: true
tokens { session: 7 position: 5 token: 42 logprob: -0.25
  top { token: 42 logprob: -0.25 } top { token: 7 logprob: -3 } }
tokens { session: 6 position: 32 token: 2 }
timings { compute_ns: 1234567 } timings { stage: 1 compute_ns: 7654321 }
TEXT
encode logits 00 StepResultMessage <<'TEXT'
epoch: 3 step: 9
logits { session: 7 position: 1 logits: "\000\000\200?\000\000\000@" }
logits { session: 7 position: 2 logits: "\000\000\300\177\000\000\200\377" }
TEXT

corpus=tests/fuzz/corpus/local_lane
mkdir -p "$corpus"
# NAME: adds a message, read as text, after its length in 4 bytes.
lane() {
  local message
  message=$(mktemp)
  protoc --encode=shoal.v1.LinkMessage proto/pipeline.proto > "$message"
  { printf "$(printf '\\x%02x\\x00\\x00\\x00' "$(stat -c %s "$message")")"; cat "$message"; } >> "$corpus/$1"
  rm "$message"
}
rm -f "$corpus/steps" "$corpus/results"
lane steps <<'TEXT'
step { epoch: 3 step: 9 slices { session: 7 position: 31 token_count: 1 output: OUTPUT_SAMPLE tokens: 9 } }
TEXT
lane steps <<'TEXT'
step { epoch: 3 step: 10 slices { session: 7 position: 32 token_count: 1 }
  activations: "\000\000\200?\000\000\000@" timings { compute_ns: 1234567 } }
TEXT
lane results <<'TEXT'
result { epoch: 3 step: 9 last: true tokens { session: 7 position: 5 token: 42 logprob: -0.25 } }
TEXT
lane results <<'TEXT'
result { epoch: 3 step: 10 logits { session: 7 position: 1 logits: "\000\000\200?" } }
TEXT
