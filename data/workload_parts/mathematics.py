"""Word problems whose answer is one number, worked out by the code that writes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workload_parts.common import CITIES, FIRST, Item

SYSTEM = "Solve the problem. Think briefly, then end with a line '#### ' followed by the number alone."


def problems(rng: Any, count: int) -> list[Item]:
    return [_item(*WRITERS[number % len(WRITERS)](rng)) for number in range(count)]


def _item(prompt: str, answer: int) -> Item:
    return Item("math::word", prompt, str(answer), "number", 300, SYSTEM)


def _bakery(rng: Any) -> tuple[str, int]:
    trays, rolls, sold, price = (
        rng.randint(6, 18),
        rng.randint(12, 36),
        rng.randint(20, 60),
        rng.randint(2, 4),
    )
    return (
        f"{rng.choice(FIRST)}'s bakery puts {trays} trays with {rolls} rolls each into the oven. {sold} rolls are given "
        f"to the staff and all others are sold at {price} euros each. How many euros are taken?",
        (trays * rolls - sold) * price,
    )


def _train(rng: Any) -> tuple[str, int]:
    speed, hours, stop = rng.choice((60, 80, 100, 120)), rng.randint(2, 5), rng.choice((15, 30, 45))
    a, b = rng.sample(CITIES, 2)
    return (
        f"A goods train leaves {a} and runs {hours} hours at {speed} km/h. It then waits {stop} minutes and runs on at "
        f"half that speed for 2 hours until it reaches {b}. How many kilometres of track lie between the two cities?",
        speed * hours + speed,
    )


def _ages(rng: Any) -> tuple[str, int]:
    young, factor, gap = rng.randint(5, 14), rng.randint(2, 4), rng.randint(3, 9)
    a, b, c = rng.sample(FIRST, 3)
    return (
        f"{a} is {young} years old. {b} is {factor} times as old as {a}, and {c} is {gap} years younger than {b}. "
        f"How old are the three of them together?",
        young + young * factor + young * factor - gap,
    )


def _garden(rng: Any) -> tuple[str, int]:
    width, extra, gate, price = rng.randint(8, 30), rng.randint(2, 15), rng.randint(2, 4), rng.randint(6, 19)
    return (
        f"A rectangular garden is {width} m wide and {extra} m longer than it is wide. It is fenced all around except "
        f"for a gate of {gate} m. A metre of fence costs {price} euros. What does the fence cost, in euros?",
        (4 * width + 2 * extra - gate) * price,
    )


def _savings(rng: Any) -> tuple[str, int]:
    weekly, weeks, gift, spent = (
        rng.randint(5, 25),
        rng.randint(6, 20),
        rng.randint(20, 90),
        rng.randint(10, 60),
    )
    return (
        f"{rng.choice(FIRST)} saves {weekly} euros a week for {weeks} weeks, gets {gift} euros from an uncle, and then "
        f"spends {spent} euros on a tent. How many euros are left?",
        weekly * weeks + gift - spent,
    )


def _discount(rng: Any) -> tuple[str, int]:
    pieces, price, percent = rng.randint(2, 9) * 10, rng.randint(3, 30), rng.choice((10, 20, 30, 40, 50))
    return (
        f"A school orders {pieces} calculators at {price} euros each and gets {percent} percent off the whole order. "
        f"How many euros does the school pay?",
        pieces * price * (100 - percent) // 100,
    )


def _boxes(rng: Any) -> tuple[str, int]:
    per_box, boxes, rest = rng.randint(6, 24), rng.randint(5, 30), rng.randint(1, 5)
    return (
        f"{per_box * boxes + rest} jars are packed into boxes that hold {per_box} jars each. "
        f"Every box must be full before the next is begun. How many boxes are needed for all jars?",
        boxes + 1,
    )


def _shifts(rng: Any) -> tuple[str, int]:
    staff, hours, days, wage = rng.randint(3, 12), rng.randint(4, 8), rng.randint(3, 6), rng.randint(13, 24)
    bonus = rng.randint(50, 300)
    return (
        f"A market stall in {rng.choice(CITIES)} employs {staff} people for {days} days, {hours} hours a day, at {wage} "
        f"euros an hour. At the end they share a bonus of {bonus} euros. What does the stall pay in total, in euros?",
        staff * hours * days * wage + bonus,
    )


def _reading(rng: Any) -> tuple[str, int]:
    first, more, days = rng.randint(8, 30), rng.randint(2, 7), rng.randint(4, 9)
    return (
        f"{rng.choice(FIRST)} reads {first} pages on the first day and {more} pages more each day than the day before. "
        f"How many pages have been read after {days} days?",
        days * first + more * days * (days - 1) // 2,
    )


def _tank(rng: Any) -> tuple[str, int]:
    rate, drain, hours, start = (
        rng.randint(40, 90),
        rng.randint(10, 35),
        rng.randint(3, 9),
        rng.randint(50, 400),
    )
    return (
        f"A tank holds {start} litres. A pump adds {rate} litres an hour while a leak loses {drain} litres an hour. "
        f"How many litres are in the tank after {hours} hours?",
        start + (rate - drain) * hours,
    )


WRITERS: tuple[Callable[[Any], tuple[str, int]], ...] = (
    _bakery,
    _train,
    _ages,
    _garden,
    _savings,
    _discount,
    _boxes,
    _shifts,
    _reading,
    _tank,
)
