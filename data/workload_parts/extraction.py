"""Orders and invoices, as they arrive by mail, to be read into JSON."""

from __future__ import annotations

from typing import Any

from workload_parts.common import CITIES, COMPANIES, PRODUCTS, STREETS, Item, date, money, person

ORDER_SYSTEM = (
    "You read customer mail for a wholesale shop. Answer with one JSON object and nothing else, with the keys "
    "customer (string), city (string), express (true or false) and items (a list of objects with sku and quantity)."
)
INVOICE_SYSTEM = (
    "You read invoices. Answer with one JSON object and nothing else, with the keys vendor, invoice_number, "
    "date (YYYY-MM-DD), currency (three letters) and total (a number)."
)

OPENINGS = (
    "Hi there,\n\nthis is {name} from the {city} branch of {company}. ",
    "Good morning, {name} here ({company}). ",
    "Dear sales team,\n\nplease take down a new order for {company}. ",
    "Hello again! {company} is restocking before the holidays. ",
    "To whom it may concern: {company} would like to place the following order. ",
    "Hey, sorry for the short notice, our shelves at {company} are nearly empty. ",
)
LINES = (
    "We need {quantity} of the {product} ({sku}).",
    "{quantity} x {sku} ({product}), please.",
    "Add {quantity} pieces of {sku}, the {product}.",
    "For the {product}, article {sku}, put us down for {quantity}.",
)
DISTRACTIONS = (
    "Last time two of the boxes arrived dented, so a bit more padding would be appreciated.",
    "By the way, the catalogue you sent in spring lists an old price for {other}; we do not want any of those now.",
    "We had asked about {other} before, but please leave it out for the moment.",
    "Our dock is closed between noon and one.",
    "The purchase order will follow by post; do not wait for it.",
    "If anything is out of stock, ship the rest and tell us.",
)
SHIPPING = {
    True: (
        "Send everything express, we will pay the surcharge.",
        "This one is urgent: use the express service.",
    ),
    False: (
        "Standard delivery is fine.",
        "No need for express this time, the usual truck will do.",
        "Regular shipping, as always.",
    ),
}


def orders(rng: Any, count: int) -> list[Item]:
    return [_order(rng) for _ in range(count)]


def invoices(rng: Any, count: int) -> list[Item]:
    return [_invoice(rng) for _ in range(count)]


def _order(rng: Any) -> Item:
    company, city, name = rng.choice(COMPANIES), rng.choice(CITIES), person(rng)
    *chosen, other = rng.sample(sorted(PRODUCTS), rng.randint(2, 5))
    items = [
        {"sku": sku, "quantity": rng.choice((2, 3, 4, 6, 8, 10, 12, 15, 20, 24, 36, 48))} for sku in chosen
    ]
    express = rng.random() < 0.4
    lines = [
        rng.choice(LINES).format(quantity=item["quantity"], sku=item["sku"], product=PRODUCTS[item["sku"]][0])
        for item in items
    ]
    rest = [rng.choice(DISTRACTIONS).format(other=other), rng.choice(SHIPPING[express])]
    address = f"Deliver to {rng.randint(2, 180)} {rng.choice(STREETS)} Street, {city}."
    body = " ".join(lines) + "\n\n" + " ".join([address, *rng.sample(rest, 2)])
    opening = rng.choice(OPENINGS).format(name=name, city=city, company=company)
    prompt = f"{opening}{body}\n\nBest regards,\n{name}\n{company}"
    expected = {"customer": company, "city": city, "express": express, "items": items}
    return Item("extract::order", prompt, expected, "json", 300, ORDER_SYSTEM, {"unordered": True})


def _invoice(rng: Any) -> Item:
    vendor, customer = rng.sample(COMPANIES, 2)
    written, iso = date(rng, rng.choice((2025, 2026)))
    _, due = date(rng, 2027)
    currency = rng.choice(("EUR", "GBP", "CHF", "USD", "SEK", "PLN"))
    number = rng.choice(("INV-{}", "{}/26", "R{}", "2026-{}")).format(rng.randint(1000, 99999))
    lines, net = [], 0
    for sku in rng.sample(sorted(PRODUCTS), rng.randint(2, 5)):
        quantity, cents = rng.randint(1, 40), round(PRODUCTS[sku][1] * 100)
        net += quantity * cents
        lines.append(
            f"{sku}  {PRODUCTS[sku][0]:<32} {quantity:>3} x {money(cents):>8} = {money(quantity * cents):>10}"
        )
    rate = rng.choice((0, 7, 19, 20, 21, 25))
    tax = (net * rate + 50) // 100
    paid = rng.random() < 0.3
    footer = rng.choice(
        (
            f"Payable within 30 days, no later than {due}.",
            f"Please quote {number} with your payment.",
            f"Account manager: {person(rng)}. Questions about order {rng.randint(10000, 99999)}? Just write.",
        )
    )
    prompt = "\n".join(
        [
            f"{vendor.upper() if rng.random() < 0.3 else vendor}",
            f"{rng.randint(1, 99)} {rng.choice(STREETS)} Road, {rng.choice(CITIES)}",
            "",
            f"Bill to: {customer}, {rng.choice(CITIES)}",
            f"Invoice {number}        Date of issue: {written}"
            if rng.random() < 0.5
            else f"No. {number}, {written}",
            "",
            *lines,
            "",
            f"Subtotal {currency} {money(net)}",
            f"VAT {rate}% {currency} {money(tax)}",
            f"{rng.choice(('Total due', 'Amount payable', 'TOTAL'))} {currency} {money(net + tax)}",
            *(["Received with thanks."] if paid else []),
            footer,
        ]
    )
    expected = {
        "vendor": vendor,
        "invoice_number": number,
        "date": iso,
        "currency": currency,
        "total": (net + tax) / 100,
    }
    return Item("extract::invoice", prompt, expected, "json", 200, INVOICE_SYSTEM)
