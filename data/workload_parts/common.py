"""What every kind of prompt draws on: a prompt's fields, and names, places and things."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FIRST = (
    "Amara Bastien Chiara Dmitri Elif Farid Greta Hiro Ines Joost Katya Luis Mei Nadia Oskar Priya Quentin "
    "Rosa Samir Tove Uma Viktor Wanda Xavier Yara Zoltan Aoife Bruno Celine Dario"
).split()
LAST = (
    "Abara Bianchi Castellanos Dvorak Ekström Fofana Grünwald Haddad Ivanova Jansen Kovač Lindqvist Moreau "
    "Nakagawa Okafor Petrov Quispe Rahman Santos Tanaka Ueda Varga Whitlock Xu Yilmaz Zieliński Brennan Cho"
).split()
CITIES = (
    "Lisbon Gdańsk Rotterdam Turin Malmö Graz Porto Leeds Nantes Bergen Ghent Kraków Tampere Brno Cork "
    "Zaragoza Aarhus Basel Split Varna"
).split()
STREETS = "Harbour Mill Orchard Station Chapel Quarry Linden Foundry Meadow Castle Bridge Market".split()
COMPANIES = (
    "Northwind Ceramics|Halden Marine Supply|Blue Lantern Books|Pereira & Filhos|Kestrel Robotics|Oakmoor Dairy|"
    "Silverpine Optics|Vantage Freight|Maple & Rye Bakery|Corvid Analytics|Tidewater Textiles|Alpenglow Outfitters|"
    "Redgate Pharmacy|Sundial Watches|Greyhound Couriers|Lumen Stage Lighting|Fennel Kitchen Goods|Arbor Seating|"
    "Pinion Cycles|Quarto Print House"
).split("|")
PRODUCTS = {
    "KT-204": ("stoneware mug", 12.50),
    "KT-219": ("cast iron skillet", 48.00),
    "GD-110": ("folding pruning saw", 31.90),
    "GD-145": ("galvanised watering can", 27.40),
    "OF-310": ("adjustable desk lamp", 64.00),
    "OF-332": ("mesh office chair", 189.00),
    "OF-377": ("A4 cork board", 22.75),
    "BK-501": ("bicycle floor pump", 39.95),
    "BK-523": ("rear rack with straps", 44.50),
    "BK-560": ("dynamo front light", 71.20),
    "LB-702": ("borosilicate beaker set", 36.60),
    "LB-718": ("digital hygrometer", 29.30),
    "TX-808": ("wool blanket", 92.00),
    "TX-841": ("linen apron", 34.25),
    "EL-905": ("USB-C docking station", 129.00),
    "EL-934": ("noise-cancelling headset", 154.80),
    "EL-958": ("24-port network switch", 212.40),
    "PK-630": ("recycled mailing box, 50 pack", 41.10),
}
MONTHS = ("January February March April May June July August September October November December").split()


@dataclass(frozen=True)
class Item:
    """One prompt. `expected` is the right answer; `comparator` and `options` are how to check one."""

    task_type: str
    prompt: str
    expected: Any
    comparator: str
    max_tokens: int
    system: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


def person(rng: Any) -> str:
    return f"{rng.choice(FIRST)} {rng.choice(LAST)}"


def date(rng: Any, year: int = 2026) -> tuple[str, str]:
    """A date as people write it, and in ISO form."""
    month, day = rng.randint(1, 12), rng.randint(1, 28)
    iso = f"{year}-{month:02d}-{day:02d}"
    name = MONTHS[month - 1]
    written = (f"{day} {name} {year}", f"{name} {day}, {year}", iso, f"{day:02d}.{month:02d}.{year}")
    return rng.choice(written), iso


def money(cents: int) -> str:
    return f"{cents // 100:,}.{cents % 100:02d}"
