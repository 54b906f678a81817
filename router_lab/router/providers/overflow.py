"""Whether a refusal means that the prompt does not fit the context window, in any server's words.

Some servers say it with a code, some in wordings that are known with their counts. For the others a
score is kept: what is spoken of, in which unit, that a limit was passed, and numbers that bear it out,
against signs of the limits that are none of the window's (rates, quotas, the answer's length, fields).
"""

from __future__ import annotations

import re

from router_lab.router.providers.wire import count

KINDS = frozenset(
    {
        "context_length_exceeded",
        "exceed_context_size_error",
        "context_window_exceeded",
        "prompt_too_long",
        "model_context_window_exceeded",
        "tokens_limit_reached",
        "model_max_prompt_tokens_exceeded",
        # Spark, Baidu, Zhipu
        "10907",
        "336007",
        "336103",
        "1261",
    }
)

# Wordings with their counts. `tokens` is the prompt, `window` the context.
_TEXTS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # Anthropic
        r"prompt is too long(?:: (?P<tokens>\d+) tokens > (?P<window>\d+) maximum)?",
        r"input length and `?max_tokens`? exceed context limit"
        r"(?:: (?P<tokens>\d+) \+ \d+ > (?P<window>\d+))?",
        # Ollama: MLX, then the Go runners, then shift:false
        r"input length(?: \((?P<tokens>\d+) tokens\))? exceeds the (?:model's maximum )?context length"
        r"(?: \((?P<window>\d+) tokens\))?",
        r"prompt is longer than the context length",
        # llama.cpp, when its error type was lost on the way
        r"request (?:\((?P<tokens>\d+) tokens\) )?exceeds the available context size"
        r"(?: \((?P<window>\d+) tokens\))?",
        # OpenAI and vLLM, in the order of their wordings
        r"maximum context length is (?P<window>\d+) tokens(?:.{0,200}?(?:resulted in (?P<tokens>\d+) tokens"
        r"|\((?P<in_messages>\d+) in the (?:messages|prompt)|(?P<input_tokens>\d+) input tokens))?",
        # LM Studio
        r"keep the first (?P<tokens>\d+) tokens when context the overflows"
        r"(?:.{0,120}?only (?P<window>\d+) tokens)?",
        r"tokens to keep from the initial prompt is greater than the context length",
        # Text Generation Inference
        r"`inputs` tokens \+ `max_new_tokens` must be <= (?P<window>\d+)\. "
        r"Given: (?P<tokens>\d+) `inputs` tokens",
        # Cohere
        r"size limit exceeded by (?P<excess>\d+) tokens.{0,120}?limit for this model is (?P<window>\d+)",
        # MiniMax: the number behind it is the error's own
        r"context window exceeds limit",
        # Bedrock, in characters
        r"(?:input request: |#/(?:messages|prompt|input|inputText|system|contents?)\b[^:\s]{0,80}: )"
        r"expected maxLength: \d+, actual: \d+",
        # Spark, Baidu
        r"tokens?\s?(?:数量|数|长度|总数)?\s?(?:超过|超出)\s?(?:上限|最大|限制)",
        r"over session length",
        r"\b(?:prompt|inputs?|conversation) (?:is |was |are )?too (?:long|large|big) for (?:the|this) model",
        r"exceed(?:s|ed)? (?:the |its )?(?:model's |model )?max(?:imum)? context\b",
        # Mistral
        r"prompt contains (?P<tokens>\d+) tokens.{0,60}?too large for model with (?P<window>\d+) maximum",
    )
)

_CONTEXT = re.compile(
    r"context[ _-]?(?:length|window|size|limit)|max_model_len|model length|\bn_ctx\b"
    r"|\bmodel(?:'s)? context\b|\bthe context\b|コンテキスト(?:長|ウィンドウ)",
    re.I,
)
_SUBJECT = re.compile(
    r"\b(?:prompts?|inputs?|messages?|request(?:ed)?|sequence|conversation|text|context)\b|输入|上下文|提示"
    r"|入力|プロンプト|입력|프롬프트",
    re.I,
)
_UNIT = re.compile(
    r"\btokens?\b|\blength\b|\b(?:too|is) long\b|\blonger\b|长度|过长|超长|トークン|토큰", re.I
)
_LIMIT = re.compile(
    r"\bexceed(?:s|ed|ing)?\b|\btoo (?:long|large|many|big)\b"
    r"|\b(?:longer|larger|greater|more|less|fewer) than\b"
    r"|\boverflow(?:s|ed)?\b|\bmax(?:imum|imal)?\b|\blimit(?:ed)?\b|\bat most\b|\bcannot be\b|\bnot fit\b"
    r"|\bonly supports?\b|\bmust (?:be|have) (?:less|at most|<)|\bshould be (?:in )?\[|\breduce\b|\bshorten\b"
    r"|\bfull\b|超过|超出|超长|最大|过长|超え|超過|上限|長すぎ|초과|최대",
    re.I,
)
_OUTPUT = re.compile(
    r"max_(?:completion_|output_|new_)?tokens|\b(?:completion|output|generated) (?:tokens|length)\b", re.I
)
_OTHER_LIMITS = re.compile(
    r"\b(?:characters?|strings?|stop|tools?|functions?|images?|pixels?|files?|audio|video|pages?|bytes|[kmg]i?b"
    r"|names?|user|metadata|headers?|schema|enum|propert(?:y|ies)|logit_bias|ids?)\b",
    re.I,
)
_RATE = re.compile(
    r"\bper[ _-]?(?:minute|min|hour|day|second|month)\b|\b[tr]p[md]\b|rate.?limit|throttl|please wait"
    r"|try again (?:in|later)|\bquota\b|\bbilling\b|\bcredits?\b|\bbalance\b",
    re.I,
)
_ONLY = re.compile(
    r"\bonly supports? (?:up to |at most |a maximum of )?\d[\d,]{3,9}\b(?!\s*(?:x\b|px|output|completion))",
    re.I,
)
_NUMBER = re.compile(r"(?<![\w.])\d[\d,_]{2,17}(?![\w.]*\w)")

# How much too long, which is the length of nothing.
_EXCESS = re.compile(r"\bby \d[\d,_]{0,17}\b", re.I)

# OpenAI's checks name the field: one that holds no prompt has a limit of its own.
_FIELD = re.compile(r"invalid '(?:[^']*\.)?([a-z_]+)(?:\[\d+\])*'", re.I)
_PROMPT_FIELDS = frozenset(
    {"messages", "input", "inputs", "prompt", "content", "contents", "text", "system", "instructions"}
)

_STATUSES = frozenset({200, 400, 413, 422, 500})
_ENOUGH = 4
_MAX_CHARS = 2000


def known_wording(kind: str | None, message: str) -> tuple[int | None, int | None] | None:
    """(prompt's tokens, window's) where a server's code or well-known words say so, else None."""
    found = next(filter(None, (pattern.search(message) for pattern in _TEXTS)), None)
    if found is None:
        return (None, None) if kind in KINDS else None
    said = found.groupdict()
    if said.get("excess"):
        window = int(said["window"][:20])
        return count(window + int(said["excess"][:20])), count(window)
    tokens = next((said[name] for name in ("tokens", "in_messages", "input_tokens") if said.get(name)), None)
    return _count(tokens), _count(said.get("window"))


def likely_wording(status: int, kind: str | None, message: str) -> tuple[int | None, int | None] | None:
    """The same for words nobody has listed; `status` is the answer's, or the one the error names."""
    text = message[:_MAX_CHARS]
    if status not in _STATUSES or _score(status, kind or "", text) < _ENOUGH:
        return None
    return _numbers(text)


def _score(status: int, kind: str, text: str) -> int:
    about_window, subject, unit = _CONTEXT.search(text), _SUBJECT.search(text), _UNIT.search(text)
    limits = {found.group().lower() for found in _LIMIT.finditer(text)}
    field = _FIELD.search(text)
    if field and field[1].lower() not in _PROMPT_FIELDS and not about_window:
        return 0
    is_bare = bool(_ONLY.search(text)) and not (_OUTPUT.search(text) or _OTHER_LIMITS.search(text))
    if is_bare and status != 500 and not _RATE.search(text):
        return _ENOUGH
    if not limits or not (about_window or unit):
        return 0
    tokens, window = _numbers(text)
    score = min(len(limits), 2) + 3 * bool(about_window) + bool(subject) + bool(unit)
    score += bool(window and (tokens or 0) > window) + (status in (400, 413, 422))
    score += 2 * bool(re.search(r"context|too_(?:long|large)|length", kind, re.I))
    score += 2 * bool(
        re.search(
            r"\b(?:prompt|input|conversation|context)\W+(?:is|was) too (?:long|large|big)\b", text, re.I
        )
    )
    if _RATE.search(text):
        score -= 4
    if (
        _OUTPUT.search(text)
        and not about_window
        and not (subject and re.search(r"\b(?:prompt|inputs?|messages)\b", text, re.I))
    ):
        score -= 4
    if _OTHER_LIMITS.search(text) and not about_window and not re.search(r"\btokens?\b", text, re.I):
        score -= 3
    return score if status != 500 or about_window else 0


def _numbers(text: str) -> tuple[int | None, int | None]:
    """(prompt's tokens, window's) where two numbers leave no doubt; the window alone where one stands."""
    known = _NUMBER.findall(_EXCESS.sub("", text))
    numbers = sorted({int(re.sub(r"[,_]", "", found)) for found in known})
    if len(numbers) == 2 and not re.search(r"\b(?:total|completion|output)\b", text, re.I):
        return count(numbers[1]), count(numbers[0])
    return None, count(numbers[0]) if len(numbers) in (1, 2) else None


def _count(digits: str | None) -> int | None:
    return None if digits is None else count(int(digits[:20]))
