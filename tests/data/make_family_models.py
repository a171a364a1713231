#!/usr/bin/env python3
"""Writes the tiny models of tests/data/tiny-models that no other script makes, and their golden
logits: one per family with switches of its own, random f32 weights, so large that caps, windows,
sinks and factors matter.

usage: make_family_models.py OUT_DIR [NAME ...]
Needs numpy, gguf and llama_cpp (the golden values are llama.cpp's, on a CPU, with an f32 KV cache).
"""

import ctypes
import hashlib
import json
import os
import sys

import gguf
import llama_cpp
import numpy as np

SEED = 20261122
VOCAB, DIM, LAYERS, HEADS, KV_HEADS, FFN = 96, 32, 4, 4, 2, 48
CONTEXT, ORIGINAL_CONTEXT, WINDOW = 512, 256, 5  # llama.cpp rounds contexts up to 256
PROMPT_TOKENS, GREEDY_TOKENS = 40, 12


class Model:
    """A file being written: metadata and tensors common to all, then what a family adds."""

    def __init__(self, path, name, arch, head_dim=16, layers=LAYERS):
        self.writer = gguf.GGUFWriter(path, arch)
        self.random = np.random.default_rng(SEED + sum(name.encode()))
        self.head_dim, self.layers = head_dim, layers
        self.q_dim, self.kv_dim = HEADS * head_dim, KV_HEADS * head_dim
        w = self.writer
        w.add_name(f"tiny {name}")
        w.add_block_count(layers)
        w.add_context_length(CONTEXT)
        w.add_embedding_length(DIM)
        w.add_feed_forward_length(FFN)
        w.add_head_count(HEADS)
        w.add_head_count_kv(KV_HEADS)
        w.add_key_length(head_dim)
        w.add_value_length(head_dim)
        w.add_rope_dimension_count(head_dim)
        w.add_rope_freq_base(10000.0)
        w.add_vocab_size(VOCAB)
        w.add_tokenizer_model("none")
        w.add_file_type(gguf.LlamaFileType.ALL_F32)

    def matrix(self, name, *shape, size=1.0):
        values = self.random.standard_normal(shape) * size / np.sqrt(shape[-1])
        self.writer.add_tensor(name + ".weight", values.astype(np.float32))

    def norm(self, name, count, bias=False):
        values = 1 + 0.1 * self.random.standard_normal(count)
        self.writer.add_tensor(name + ".weight", values.astype(np.float32))
        if bias:
            self.bias(name, count)

    def bias(self, name, *shape):
        values = 0.2 * self.random.standard_normal(shape)
        self.writer.add_tensor(name + ".bias", values.astype(np.float32))

    def vector(self, name, values):
        self.writer.add_tensor(name, np.asarray(values, dtype=np.float32))

    def ends(self, embedding_size=2.0, tied=False, bias=False):
        self.matrix("token_embd", VOCAB, DIM, size=embedding_size)
        self.norm("output_norm", DIM, bias)
        if not tied:
            self.matrix("output", VOCAB, DIM)

    def attention(self, b, bias=False, sharpness=1.0):
        for part, rows in (("q", self.q_dim), ("k", self.kv_dim), ("v", self.kv_dim)):
            self.matrix(f"{b}attn_{part}", rows, DIM, size=sharpness)
            if bias:
                self.bias(f"{b}attn_{part}", rows)
        self.matrix(f"{b}attn_output", DIM, self.q_dim)
        if bias:
            self.bias(f"{b}attn_output", DIM)

    def gated_ffn(self, b):
        self.matrix(b + "ffn_gate", FFN, DIM)
        self.matrix(b + "ffn_up", FFN, DIM)
        self.matrix(b + "ffn_down", DIM, FFN)

    def pre_norm_blocks(self):
        for i in range(self.layers):
            b = f"blk.{i}."
            self.norm(b + "attn_norm", DIM)
            self.attention(b)
            self.norm(b + "ffn_norm", DIM)
            self.gated_ffn(b)

    def close(self):
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def gemma2_capped(path):
    """Scores and logits far beyond their caps."""
    m = Model(path, "gemma2-capped", "gemma2")
    m.writer.add_layer_norm_rms_eps(1e-6)
    m.writer.add_attn_logit_softcapping(2.0)
    m.writer.add_final_logit_softcapping(3.0)
    m.writer.add_sliding_window(WINDOW)
    m.ends(embedding_size=4.0, tied=True)
    for i in range(m.layers):
        b = f"blk.{i}."
        m.norm(b + "attn_norm", DIM)
        m.attention(b, sharpness=1.5)
        m.norm(b + "post_attention_norm", DIM)
        m.norm(b + "ffn_norm", DIM)
        m.gated_ffn(b)
        # Small, because llama.cpp's GELU is a table of halves.
        m.vector(b + "post_ffw_norm.weight", np.full(DIM, 0.3))
    m.close()


def phi3(path):
    """Factors of the frequencies, for sessions within and beyond the original context."""
    m = Model(path, "phi3-factors", "phi3", head_dim=8)
    m.writer.add_layer_norm_rms_eps(1e-5)
    m.writer.add_rope_scaling_orig_ctx_len(ORIGINAL_CONTEXT)
    m.writer.add_rope_scaling_attn_factors(1.19)
    m.writer.add_sliding_window(0)
    m.ends()
    m.vector("rope_factors_short.weight", np.linspace(1.0, 1.5, m.head_dim // 2))
    m.vector("rope_factors_long.weight", np.linspace(1.0, 12.0, m.head_dim // 2))
    for i in range(m.layers):
        b = f"blk.{i}."
        m.norm(b + "attn_norm", DIM)
        m.matrix(b + "attn_qkv", m.q_dim + 2 * m.kv_dim, DIM)
        m.matrix(b + "attn_output", DIM, m.q_dim)
        m.norm(b + "ffn_norm", DIM)
        m.matrix(b + "ffn_up", 2 * FFN, DIM)
        m.matrix(b + "ffn_down", DIM, FFN)
    m.close()


def gpt_oss(path):
    m = Model(path, "gpt-oss", "gpt-oss", head_dim=8)
    experts = 4
    m.writer.add_layer_norm_rms_eps(1e-5)
    m.writer.add_expert_count(experts)
    m.writer.add_expert_used_count(2)
    m.writer.add_expert_feed_forward_length(DIM)
    m.writer.add_sliding_window(WINDOW)
    m.writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    m.writer.add_rope_scaling_factor(4.0)
    m.writer.add_rope_scaling_orig_ctx_len(ORIGINAL_CONTEXT)
    m.ends()
    for i in range(m.layers):
        b = f"blk.{i}."
        m.norm(b + "attn_norm", DIM)
        m.attention(b, bias=True)
        m.vector(b + "attn_sinks.weight", 2 * m.random.standard_normal(HEADS))
        m.norm(b + "post_attention_norm", DIM)
        m.matrix(b + "ffn_gate_inp", experts, DIM)
        m.bias(b + "ffn_gate_inp", experts)
        for part in ("gate", "up", "down"):
            # So large that the clamps of gate and up matter.
            m.matrix(f"{b}ffn_{part}_exps", experts, DIM, DIM, size=1.0 if part == "down" else 3.0)
            m.bias(f"{b}ffn_{part}_exps", experts, DIM)
    m.close()


def smollm3(path):
    m = Model(path, "smollm3", "smollm3", head_dim=8)
    m.writer.add_layer_norm_rms_eps(1e-6)
    m.ends(tied=True)
    m.pre_norm_blocks()
    m.close()


def granite(path):
    m = Model(path, "granite", "granite", head_dim=8)
    m.writer.add_layer_norm_rms_eps(1e-5)
    m.writer.add_embedding_scale(3.0)
    m.writer.add_residual_scale(0.4)
    m.writer.add_attention_scale(0.2)
    m.writer.add_logit_scale(2.5)
    m.ends(tied=True)
    m.pre_norm_blocks()
    m.close()


def olmo2(path, windows=False):
    """With windows: OLMo 3, whose layers with one take no part in the scaling of angles."""
    m = Model(path, "olmo2", "olmo2", head_dim=8)
    m.writer.add_layer_norm_rms_eps(1e-6)
    if windows:
        m.writer.add_sliding_window(WINDOW)
        m.writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        m.writer.add_rope_scaling_factor(8.0)
        m.writer.add_rope_scaling_attn_factors(0.8)
        m.writer.add_rope_scaling_orig_ctx_len(64)
    m.ends(embedding_size=4.0 if windows else 2.0)
    for i in range(m.layers):
        b = f"blk.{i}."
        m.attention(b)
        m.norm(b + "attn_q_norm", m.q_dim)
        m.norm(b + "attn_k_norm", m.kv_dim)
        m.norm(b + "post_attention_norm", DIM)
        m.gated_ffn(b)
        m.norm(b + "post_ffw_norm", DIM)
    m.close()


def starcoder2(path):
    m = Model(path, "starcoder2", "starcoder2", head_dim=8)
    m.writer.add_layer_norm_eps(1e-5)
    m.ends(bias=True)
    for i in range(m.layers):
        b = f"blk.{i}."
        m.norm(b + "attn_norm", DIM, bias=True)
        m.attention(b, bias=True)
        m.norm(b + "ffn_norm", DIM, bias=True)
        m.matrix(b + "ffn_up", FFN, DIM)
        m.bias(b + "ffn_up", FFN)
        m.matrix(b + "ffn_down", DIM, FFN)
        m.bias(b + "ffn_down", DIM)
    m.close()


# Name: how to write the file, and the context the golden session has.
MODELS = {
    "gemma2-capped": (gemma2_capped, CONTEXT),
    "phi3-short": (phi3, ORIGINAL_CONTEXT),
    "phi3-long": (phi3, CONTEXT),
    "gpt-oss": (gpt_oss, CONTEXT),
    "smollm3": (smollm3, CONTEXT),
    "granite": (granite, CONTEXT),
    "olmo2": (olmo2, CONTEXT),
    "olmo3": (lambda path: olmo2(path, windows=True), CONTEXT),
    "starcoder2": (starcoder2, CONTEXT),
}


class LlamaCpp:
    """A model in llama.cpp, one session, one thread."""

    def __init__(self, path, context):
        model_params = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), model_params)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = context
        params.n_threads = params.n_threads_batch = 1
        params.type_k = params.type_v = llama_cpp.GGML_TYPE_F32
        params.flash_attn_type = 0
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        assert self.model and self.context, f"llama.cpp cannot run {path}"
        self.tokens = 0

    def logits_of(self, tokens):
        """Logits after each of these tokens, which follow those before."""
        batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i] = token
            batch.pos[i] = self.tokens + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = 0
            batch.logits[i] = 1
        assert llama_cpp.llama_decode(self.context, batch) == 0
        self.tokens += len(tokens)
        rows = [
            np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(self.context, i), (VOCAB,)).copy()
            for i in range(len(tokens))
        ]
        llama_cpp.llama_batch_free(batch)
        return rows


def write_golden(path, context, out):
    session = LlamaCpp(path, context)
    tokens = [int(t) for t in np.random.default_rng(SEED).integers(0, VOCAB, PROMPT_TOKENS)]
    rows = session.logits_of(tokens)
    greedy = []
    last = rows[-1]
    while len(greedy) < GREEDY_TOKENS:
        greedy.append(int(last.argmax()))
        last = session.logits_of(greedy[-1:])[-1]
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    golden = {
        "model": os.path.basename(path),
        "sha256": digest,
        "reference": "llama.cpp (CPU, F32 KV cache)",
        "context": context,
        "tokens": tokens,
        "positions": [{"logits": [round(float(x), 5) for x in row]} for row in rows],
        "greedy": greedy,
    }
    with open(out, "w", encoding="utf-8") as file:
        json.dump(golden, file)
    print(path, os.path.getsize(path), "largest logit", max(abs(r).max() for r in rows), greedy)


def main():
    out, names = sys.argv[1], sys.argv[2:] or MODELS
    quiet = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    for name in names:
        make, context = MODELS[name]
        path = os.path.join(out, f"tiny-{name}.gguf")
        make(path)
        write_golden(path, context, path.removesuffix(".gguf") + ".json")


main()
