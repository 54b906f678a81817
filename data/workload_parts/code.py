"""Small Python functions to write. The tests run every expected solution against its examples."""

from __future__ import annotations

from typing import Any

from workload_parts.common import Item

SYSTEM = "You write Python 3. Answer with the function alone, in one code block, without explanations."

# What to do; the name; parameters; the body; examples as (arguments, result).
TASKS: tuple[tuple[str, str, str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "returns the words of a sentence in reverse order, joined by single spaces",
        "reverse_words",
        "sentence",
        "return ' '.join(reversed(sentence.split()))",
        (("'one two  three'", "'three two one'"), ("''", "''")),
    ),
    (
        "returns True when a text reads the same backwards, looking at letters and digits only and ignoring case",
        "is_palindrome",
        "text",
        "kept = [c.lower() for c in text if c.isalnum()]\nreturn kept == kept[::-1]",
        (("'Never odd or even!'", "True"), ("'router'", "False")),
    ),
    (
        "returns the n-th Fibonacci number, counting from fibonacci(0) == 0",
        "fibonacci",
        "n",
        "a, b = 0, 1\nfor _ in range(n):\n    a, b = b, a + b\nreturn a",
        (("10", "55"), ("0", "0")),
    ),
    (
        "merges two sorted lists into one sorted list without using sort or sorted",
        "merge",
        "left, right",
        "merged = []\ni = j = 0\nwhile i < len(left) and j < len(right):\n    if left[i] <= right[j]:\n"
        "        merged.append(left[i])\n        i += 1\n    else:\n        merged.append(right[j])\n        j += 1\n"
        "return merged + left[i:] + right[j:]",
        (("[1, 4], [2, 3, 9]", "[1, 2, 3, 4, 9]"), ("[], [5]", "[5]")),
    ),
    (
        "returns a dictionary from each character of a text to how often it occurs",
        "count_characters",
        "text",
        "counts = {}\nfor char in text:\n    counts[char] = counts.get(char, 0) + 1\nreturn counts",
        (("'abca'", "{'a': 2, 'b': 1, 'c': 1}"), ("''", "{}")),
    ),
    (
        "returns the list without repeated values, keeping the first of each in order",
        "unique",
        "values",
        "return list(dict.fromkeys(values))",
        (("[3, 1, 3, 2, 1]", "[3, 1, 2]"), ("[]", "[]")),
    ),
    (
        "splits a list into pieces of a given size; the last piece may be shorter",
        "chunks",
        "values, size",
        "return [values[i:i + size] for i in range(0, len(values), size)]",
        (("[1, 2, 3, 4, 5], 2", "[[1, 2], [3, 4], [5]]"), ("[], 3", "[]")),
    ),
    (
        "flattens a list that holds numbers and lists of numbers nested to any depth",
        "flatten",
        "values",
        "flat = []\nfor value in values:\n    if isinstance(value, list):\n        flat.extend(flatten(value))\n"
        "    else:\n        flat.append(value)\nreturn flat",
        (("[1, [2, [3, []]], 4]", "[1, 2, 3, 4]"), ("[]", "[]")),
    ),
    (
        "returns the greatest common divisor of two positive integers, without importing anything",
        "gcd",
        "a, b",
        "while b:\n    a, b = b, a % b\nreturn a",
        (("48, 18", "6"), ("7, 13", "1")),
    ),
    (
        "returns all prime numbers up to and including n",
        "primes",
        "n",
        "return [p for p in range(2, n + 1) if all(p % d for d in range(2, int(p**0.5) + 1))]",
        (("20", "[2, 3, 5, 7, 11, 13, 17, 19]"), ("1", "[]")),
    ),
    (
        "turns a whole number from 1 to 3999 into a Roman numeral",
        "to_roman",
        "number",
        "marks = [(1000, 'M'), (900, 'CM'), (500, 'D'), (400, 'CD'), (100, 'C'), (90, 'XC'), (50, 'L'), (40, 'XL'), "
        "(10, 'X'), (9, 'IX'), (5, 'V'), (4, 'IV'), (1, 'I')]\nroman = ''\nfor value, mark in marks:\n"
        "    while number >= value:\n        roman += mark\n        number -= value\nreturn roman",
        (("1994", "'MCMXCIV'"), ("4", "'IV'")),
    ),
    (
        "returns the index of a value in a sorted list by binary search, or -1 when it is not there",
        "find",
        "values, wanted",
        "low, high = 0, len(values) - 1\nwhile low <= high:\n    middle = (low + high) // 2\n"
        "    if values[middle] == wanted:\n        return middle\n    if values[middle] < wanted:\n"
        "        low = middle + 1\n    else:\n        high = middle - 1\nreturn -1",
        (("[1, 3, 5, 8], 5", "2"), ("[1, 3], 2", "-1")),
    ),
    (
        "returns True when every bracket of (), [] and {} in a text is closed in the right order",
        "balanced",
        "text",
        "pairs = {')': '(', ']': '[', '}': '{'}\nopened = []\nfor char in text:\n    if char in pairs.values():\n"
        "        opened.append(char)\n    elif char in pairs and (not opened or opened.pop() != pairs[char]):\n"
        "        return False\nreturn not opened",
        (("'{[()]}'", "True"), ("'(]'", "False")),
    ),
    (
        "returns the median of a non-empty list of numbers",
        "median",
        "numbers",
        "ordered = sorted(numbers)\nmiddle = len(ordered) // 2\nif len(ordered) % 2:\n    return ordered[middle]\n"
        "return (ordered[middle - 1] + ordered[middle]) / 2",
        (("[5, 1, 3]", "3"), ("[1, 2, 3, 4]", "2.5")),
    ),
    (
        "shifts every letter of a text by n places in the alphabet and leaves all other characters alone",
        "caesar",
        "text, n",
        "shifted = ''\nfor char in text:\n    if char.isascii() and char.isalpha():\n"
        "        base = ord('a') if char.islower() else ord('A')\n        char = chr((ord(char) - base + n) % 26 + base)\n"
        "    shifted += char\nreturn shifted",
        (("'Zebra, abc', 2", "'Bgdtc, cde'"), ("'abc', 0", "'abc'")),
    ),
    (
        "returns the rows and columns of a matrix (a list of lists) swapped",
        "transpose",
        "matrix",
        "return [list(row) for row in zip(*matrix)]",
        (("[[1, 2, 3], [4, 5, 6]]", "[[1, 4], [2, 5], [3, 6]]"), ("[]", "[]")),
    ),
    (
        "turns a number of seconds into text of the form h:mm:ss",
        "clock",
        "seconds",
        "return f'{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}'",
        (("3725", "'1:02:05'"), ("59", "'0:00:59'")),
    ),
    (
        "returns a dictionary with keys and values exchanged; of equal values the last key wins",
        "invert",
        "mapping",
        "return {value: key for key, value in mapping.items()}",
        (("{'a': 1, 'b': 2}", "{1: 'a', 2: 'b'}"), ("{}", "{}")),
    ),
    (
        "returns the length of the longest run of equal neighbouring values in a list",
        "longest_run",
        "values",
        "best = run = 0\nfor i, value in enumerate(values):\n    run = run + 1 if i and value == values[i - 1] else 1\n"
        "    best = max(best, run)\nreturn best",
        (("[1, 1, 2, 2, 2, 3]", "3"), ("[]", "0")),
    ),
    (
        "returns the sum of the decimal digits of an integer, ignoring its sign",
        "digit_sum",
        "number",
        "return sum(int(digit) for digit in str(abs(number)))",
        (("-1905", "15"), ("0", "0")),
    ),
)
REQUESTS = (
    "Write a Python function `{name}({params})` that {what}. For example, `{name}({given})` is `{result}`.",
    "I need `{name}({params})` in Python for a small script. It {what}; `{name}({given})` should give `{result}`. "
    "Use the standard library only.",
)


def functions(rng: Any, count: int) -> list[Item]:
    return [_function(number) for number in range(count)]


def _function(number: int) -> Item:
    what, name, params, body, examples = TASKS[number % len(TASKS)]
    turn = number // len(TASKS) % len(REQUESTS)
    given, result = examples[0]
    prompt = REQUESTS[turn].format(name=name, params=params, what=what, given=given, result=result)
    indented = "\n".join(f"    {line}" for line in body.split("\n"))
    expected = f"def {name}({params}):\n{indented}"
    return Item("code::function", prompt, expected, "text", 400, SYSTEM)
